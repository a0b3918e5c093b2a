"""Images through views through the classifier, batch by batch, into records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.cache_keys import study_facts, view_key
from robustcheck.evaluation.checkpoint import Keeper
from robustcheck.evaluation.diagnostics import Diagnostics
from robustcheck.evaluation.executor import Workers
from robustcheck.evaluation.image_sample import Look, looks
from robustcheck.evaluation.plan import Plan, make_plan
from robustcheck.evaluation.provenance import describe
from robustcheck.evaluation.runner import HowToRun, Measurer
from robustcheck.evaluation.shards import Shard, Shards
from robustcheck.evaluation.spot_check import SpotCheck
from robustcheck.evaluation.table import Table
from robustcheck.evaluation.termination import stops_in_order
from robustcheck.evaluation.validation import validate_view
from robustcheck.executors.locked import Sharing
from robustcheck.executors.ray.remote import run_elsewhere
from robustcheck.images import Batch, ImageSet
from robustcheck.models import Classifier
from robustcheck.notation import View, X, parse
from robustcheck.records import Records, Rows
from robustcheck.records.provenance import Provenance
from robustcheck.store.block import Part
from robustcheck.store.stats import Stored
from robustcheck.store.store import RecordStore, open_store

Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""

_SHARDS_AHEAD = 16
"""In so many shards is looked for parts before images are read, so that reading goes on from one to the next."""


def evaluate(
    classifier: Classifier,
    images: ImageSet,
    views: Iterable[str | View],
    *,
    seed: int = 0,
    batch_size: int | str | None = None,
    codec: str = "auto",
    precision: str = "fp32",
    optimize: str = "fold",
    progress: Progress | None = None,
    store: RecordStore | Path | str | None = None,
) -> Records:
    """Return records of some views of all images.

    `seed` is the master seed of everything random. `batch_size` is how many images the model gets at once; None
    chooses by device, "auto" by a measurement. `codec` is the JPEG codec; all give the same images. `precision` is
    one of `robustcheck.models.PRECISIONS`; `optimize` is "none" (the network as it is), "fold" (batch normalisations
    folded into convolutions: logits differ by rounding, some 1e-5) or "compile" (that, and `torch.compile` for
    classification). Memory does not grow with the number of images, but for the records. `store` is a folder in
    which records are kept, and from which those are taken that are there already; see
    `robustcheck.store.store`.

    Raises `RobustcheckError` for a view that can't be read, for a model whose output is not finite, and for a
    precision that the device does not have.
    """
    evaluation = Evaluation(
        classifier,
        images,
        seed=seed,
        batch_size=batch_size,
        codec=codec,
        precision=precision,
        optimize=optimize,
        progress=progress,
        store=open_store(store),
    )
    evaluation.run(views)
    return evaluation.records


class Evaluation:
    """What has been computed of one classifier on one image set, growing as more is asked for.

    Images are taken in a fixed order; each view has been evaluated on some number of the first of them. With a
    `store`, shards of about `shard_size` images are taken from it where they are there, and kept in it; `take` 2 is
    a second evaluation of the same, which takes nothing from the first. By `sharing`, several processes with one
    store compute each shard once. `workers` compute the shards that the store lacks, where there are any; this
    process then computes no records.
    """

    def __init__(
        self,
        classifier: Classifier,
        images: ImageSet,
        *,
        seed: int = 0,
        batch_size: int | str | None = None,
        codec: str = "auto",
        precision: str = "fp32",
        optimize: str = "fold",
        order: npt.NDArray[np.int64] | None = None,
        progress: Progress | None = None,
        store: RecordStore | None = None,
        shard_size: int | None = None,
        take: int = 1,
        sharing: Sharing | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.classifier, self.images, self.seed, self.codec = classifier, images, seed, codec
        self.precision, self.optimize = precision, optimize
        self.progress, self.take, self.sharing, self.workers = progress, take, sharing, workers
        self.diagnostics = Diagnostics(classifier.name)
        self._measurer = Measurer(
            classifier,
            HowToRun(seed, codec, precision, optimize),
            batch_size=batch_size,
            warn=self.diagnostics.warn,
            on_first=self.diagnostics.check_first_batch,
        )
        self.batch_size = self._measurer.batch_size
        self.order = np.arange(len(images)) if order is None else order
        self.table = Table(self.order)
        self.shards = Shards.whole(classifier, len(images), self.batch_size, shard_size)
        self.keeper = Keeper(
            store,
            images,
            self.table,
            self.shards,
            check=SpotCheck(classifier, precision),
            facts=self._facts,
            view_key=lambda view: view_key(view, self._measurer.other_model),
        )
        self._refusals: dict[View, RobustcheckError | None] = {}
        self._asked: tuple[tuple[View, ...], int] = (), 0
        """The views and the number of images that are on the way."""
        self._there: dict[str, Any] = {}
        """Fields of the provenance that are the workers', not this process's: devices and precision."""
        self._kind = ""
        """The kind of device that workers have, where it is known."""

    def fresh(self, *, seed: int | None = None, stored: bool = True) -> Evaluation:
        """Return one with the same classifier, images and options that has evaluated nothing.

        It takes nothing from the store that this one could have kept there: under the same seed it is another take.
        Unless `stored`, it has no store.
        """
        fresh = Evaluation(
            self.classifier,
            self.images,
            seed=self.seed if seed is None else seed,
            batch_size=self.batch_size,
            codec=self.codec,
            precision=self.precision,
            optimize=self.optimize,
            order=self.order,
            store=self.keeper.store if stored else None,
            shard_size=self.shards.size,
            take=self.take + 1 if seed in {None, self.seed} else 1,
            workers=self.workers,
        )
        fresh.keeper.check = self.keeper.check
        return fresh

    # ---------------------------------------------------------------------------------------- what is there

    @property
    def records(self) -> Records:
        """A copy of what is there so far."""
        return self.table.records(self.images, self.provenance)

    @property
    def provenance(self) -> Provenance:
        """Everything that the numbers depend on."""
        complete = self.done(X) == len(self.images)
        described = self._described(complete=complete, views=self.table.views)
        return replace(described, batch_size=self._measurer.batch_size_note or "")

    def done(self, view: View) -> int:
        """Return on how many images, in order, a view has been evaluated."""
        return self.table.done(view)

    @property
    def standing(self) -> int:
        """On how many images, in order, all views have been evaluated that were ever asked for."""
        return min((self.done(view) for view in self.table.views), default=0)

    @property
    def underway(self) -> str:
        """Which of how many shards is being evaluated, and under how many views."""
        views, count = self._asked
        if not views:
            return ""
        of = -(-count // self.shards.size)
        shard = min(min(map(self.done, views)) // self.shards.size + 1, of)
        return f"shard {shard} of {of}, {len(views)} {'view' if len(views) == 1 else 'views'}"

    def columns(self, view: View) -> Rows:
        """Return a view's rows of the table, in image-set order."""
        return self.table.columns(view)

    @property
    def stored(self) -> Stored:
        """How much came from the store."""
        return replace(sum(self.keeper.taken.values(), Stored()), of=self.table.rows)

    @property
    def stored_by_view(self) -> dict[str, Stored]:
        """How much came from the store, by study and view: what several processes took can be told to be the same."""
        if self.keeper.store is None:
            return {}
        taken, views = self.keeper.taken, self.table.views
        return {
            f"{self.keeper.study} {view}": replace(taken.get(view, Stored()), of=self.done(view))
            for view in views
        }

    def refusal(self, view: View) -> RobustcheckError | None:
        """Return why a view can't be evaluated here, or None: a library, a model or labels that are not there."""
        if view not in self._refusals:
            try:
                validate_view(view, self.classifier, self.images, self._measurer.other_model)
            except RobustcheckError as error:
                self._refusals[view] = error
            else:
                self._refusals[view] = None
        return self._refusals[view]

    # ------------------------------------------------------------------------------------ records of this run

    def run(self, views: Iterable[str | View], *, count: int | None = None, of: int | None = None) -> None:
        """Evaluate the views on the first `count` images of the order (None: all), where that is not done.

        Whole batches are evaluated, so it can be a few more. `of` is what progress is told to be on the way
        to, where `count` is a step of it.
        """
        trees = tuple(dict.fromkeys((X, *map(parse, views))))
        self._check_labels()
        for view in trees:
            if refusal := self.refusal(view):
                raise refusal
        goal = len(self.images) if count is None else min(count, len(self.images))
        furthest = of or goal
        self.table.add(trees)
        start = min(map(self.done, trees))
        self._asked = trees, furthest

        def tell(done: int) -> None:
            if self.progress is not None:
                self.progress(done, furthest)

        with stops_in_order():
            if self.sharing is not None and self.keeper.store is not None:
                self.sharing.fill(self, trees, start=start, goal=goal, furthest=furthest)
            try:
                if self.workers is not None:
                    run_elsewhere(self, self.workers, trees, (start, goal, furthest), tell)
                else:
                    for begin, stop, batches in self._legs(trees, start, goal):
                        self._compute(trees, begin, stop, batches, tell)
            finally:
                self.keeper.save(self.diagnostics.of_first_batch)
        if goal == len(self.images):
            self.diagnostics.check_records(self.records, self.classifier.class_count)

    def take_stored(self, views: tuple[View, ...], start: int, stop: int) -> list[Batch] | None:
        """Take from the store what it has of a shard between two images; return the batches, if they had to be read."""
        shard = self.shards.at(start)
        if not self.keeper.parts(shard):
            return None
        batches = [*self.images.batches(self.batch_size, self.order[start:stop])]
        self.diagnostics.warn_of_first_batch(self.keeper.take_in(views, shard, start, batches))
        return batches

    def _legs(
        self, views: tuple[View, ...], start: int, goal: int
    ) -> Iterator[tuple[int, int, list[Batch] | None]]:
        """Yield from where to where to go at once, and the batches there where they had to be read already.

        That is so in a shard of which the store has a part, which by then has been taken in.
        """
        goal = min(-(-goal // self.batch_size) * self.batch_size, len(self.images))
        while start < goal:
            stop = min(self.shards.at(start).stop, goal)
            batches = self.take_stored(views, start, stop)
            if batches is None:
                furthest = min(goal, start + _SHARDS_AHEAD * self.shards.size)
                while stop < furthest and not self.keeper.parts(self.shards.at(stop)):
                    stop = min(stop + self.shards.size, goal)
            yield start, stop, batches
            start = stop

    def _compute(
        self,
        views: tuple[View, ...],
        begin: int,
        stop: int,
        batches: list[Batch] | None,
        tell: Callable[[int], None],
    ) -> None:
        """Compute what is not there yet between two images; a shard that ends on the way is kept."""
        done = min(map(self.done, views))
        for plan, until in self._stretches(views, done, stop):
            if batches is None:
                source = self.images.batches(self.batch_size, self.order[done:until])
            else:
                source = iter(
                    batches[(done - begin) // self.batch_size : -(-(until - begin) // self.batch_size)]
                )
            top_labels = self._known_top_labels if X not in plan.views else lambda _batch: None
            for batch, by_view in self._measurer.measured(plan, source, top_labels):
                self.table.put(done, batch.ids, by_view)
                self.keeper.note_computed(plan.views, done)
                done += len(batch)
                if done % self.shards.size == 0:
                    self.keeper.save(self.diagnostics.of_first_batch)
                tell(done)
        if batches is not None and done == stop:
            tell(stop)

    def _stretches(self, views: tuple[View, ...], start: int, goal: int) -> Iterator[tuple[Plan, int]]:
        """Yield what to compute up to where: from image to image, the views that are not there yet."""
        for stop in sorted({done for view in views if start < (done := self.done(view)) < goal} | {goal}):
            if start < stop:
                yield make_plan(view for view in views if self.done(view) <= start), stop
                start = stop

    def _known_top_labels(self, batch: Batch) -> Tensor:
        """Return l_x of images that were classified before: int64 (n,)."""
        return torch.from_numpy(self.table.columns(X)["prediction"][batch.indices])

    # ------------------------------------------------------------- shards for others, see robustcheck.store.store

    def missing(self, views: Iterable[str | View]) -> Iterator[tuple[Shard, tuple[View, ...]]]:
        """Yield the shards of which the store lacks something, in order, and the views that it lacks."""
        yield from self.keeper.missing(tuple(dict.fromkeys((X, *map(parse, views)))))

    def compute(self, views: Iterable[str | View], shard: Shard) -> Part:
        """Return what is measured of a shard under some views, and the clean images; nothing is recorded or kept."""
        ids, columns = self.measure(views, shard)
        return self.keeper.part(shard, ids, columns, self.diagnostics.of_first_batch)

    def commit(self, part: Part) -> None:
        """Put a part into the store, where there is one; raises `RobustcheckError` where it can't be written."""
        self.keeper.commit(part)

    def measure(self, views: Iterable[str | View], shard: Shard) -> tuple[list[str], dict[View, Rows]]:
        """Return the ids of a shard's images, and the rows of some views and the clean images."""
        plan = make_plan((X, *map(parse, views)))
        table = Table(np.arange(len(shard)))
        table.add(plan.views)
        batches = self.images.batches(self.batch_size, self.order[shard.start : shard.stop])
        is_first, done = shard.start == 0, 0
        for batch, by_view in self._measurer.measured(plan, batches, lambda _batch: None, look=is_first):
            table.put(done, batch.ids, by_view)
            done += len(batch)
        return table.ids, {view: table.columns(view) for view in plan.views}

    def work_as(self, there: Mapping[str, str]) -> None:
        """Know what workers say of themselves: `device` and `precision` as in `provenance`, and `kind` of device."""
        self._there = {"devices": (there["device"],), "precision": there["precision"]}
        if there["kind"] != self.keeper.facts["device"]:
            self._kind = there["kind"]
            self.keeper.forget_study()  # nothing was taken yet by what it goes under here

    def rest(self) -> None:
        """Have workers begin nothing more until more is asked for."""
        if self.workers is not None:
            self.workers.rest()

    # ------------------------------------------------------------------------------------- images, for a person

    def look(self, views: Iterable[str | View], rows: Iterable[int]) -> Iterator[Look]:
        """Yield some images of the set under some views, made and classified again; nothing is recorded."""
        plan = make_plan((X, *map(parse, views)))
        batches = self.images.batches(self.batch_size, np.array([*rows], dtype=np.int64))
        for batch, run in self._measurer.gone_through(plan, batches):
            yield from looks(plan, batch, run)

    def images_of(self, view: str | View, batch: Batch) -> Tensor:
        """Return a batch of the set under a view, made anew: uint8 (n, 3, H, W) on the classifier's device.

        Nothing is recorded, and the classifier sees no more than making them takes.
        """
        tree = parse(view)
        if refusal := self.refusal(tree):
            raise refusal
        return self._measurer.images_of(tree, batch)

    # ------------------------------------------------------------------------------------------------------------

    def _described(self, *, complete: bool, views: Iterable[View] = ()) -> Provenance:
        described = describe(
            self.classifier,
            self.images,
            complete=complete,
            seed=self.seed,
            codec=self.codec,
            precision=self.precision,
            optimize=self.optimize,
            views=views,
        )
        return replace(described, **self._there)

    def _facts(self) -> dict[str, str]:
        facts = study_facts(
            self.classifier, self._described(complete=False), batch_size=self.batch_size, take=self.take
        )
        return {**facts, **({"device": self._kind} if self._kind else {})}

    def _check_labels(self) -> None:
        if self.images.has_labels and (self.images.labels >= 0).any():
            self.images.check_labels(self.classifier.probe())
