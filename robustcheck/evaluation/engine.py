"""Images through views through the classifier, batch by batch, into records."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robustcheck.errors import RobustcheckError, RobustnessWarning
from robustcheck.evaluation.batch import BatchRun
from robustcheck.evaluation.elsewhere import run_elsewhere
from robustcheck.evaluation.feasible import check_feasible
from robustcheck.evaluation.keeping import Keeper, Shard, Stored, cut
from robustcheck.evaluation.keys import study_facts, view_key
from robustcheck.evaluation.measuring import HowToRun, Measurer, Rows
from robustcheck.evaluation.part import Part
from robustcheck.evaluation.plan import Plan, make_plan
from robustcheck.evaluation.provenance import describe
from robustcheck.evaluation.sharing import Sharing
from robustcheck.evaluation.stopping import stops_in_order
from robustcheck.evaluation.store import RecordStore, open_store
from robustcheck.evaluation.workers import Measured, Workers
from robustcheck.images import Batch, ImageSet
from robustcheck.models import Classifier, Precision
from robustcheck.notation import View, X, parse
from robustcheck.records import COLUMNS, Column, Records, empty_columns

Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""

CPU_SHARD, CUDA_SHARD = 64, 512
"""About how many images are committed to the store at once: seconds of work."""
_LEAST_SHARD, _CPU_PIXELS = 16, 800_000
"""On a CPU large images take longer: a shard has fewer of them, as many as have so many pixels together."""
_SHARDS_AHEAD = 16
"""In so many shards is looked for parts before images are read, so that reading goes on from one to the next."""
_APART, _APART_BELOW = {"fp32": 1e-3}, 2e-2
"""How far p(top) may be from what the store says of it, by precision: the image is classified alone."""


@dataclass(frozen=True)
class Look:
    """One image of the set under some views."""

    row: int
    images: Mapping[View, npt.NDArray[np.uint8]]  # (3, H, W), RGB, 0..255
    probabilities: Mapping[View, npt.NDArray[np.float64]]  # (classes,)


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
    `robustcheck.evaluation.store`.

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
        self._measurer = Measurer(
            classifier,
            HowToRun(seed, codec, precision, optimize),
            batch_size=batch_size,
            warn=self._warn,
            on_first=self._look_at,
        )
        self.batch_size = self._measurer.batch_size
        self.order = np.arange(len(images)) if order is None else order
        self.progress = progress
        self._ids = [""] * len(images)
        self._columns: dict[View, dict[str, Column]] = {}
        self._done: dict[View, int] = {}
        self._told: set[str] = set()
        """The warnings that were given."""
        self._refusals: dict[View, RobustcheckError | None] = {}
        self.store, self.take, self.sharing = store, take, sharing
        self._asked: tuple[tuple[View, ...], int] = (), 0
        """The views and the number of images that are on the way."""
        self.workers = workers
        self._there: dict[str, str] = {}
        """What is said of the workers where this process would speak of itself: device and precision."""
        self._doubts: list[str] = []
        """What the first batch gave rise to."""
        self._unsaved: dict[View, int] = {}
        """From where in the order a view's records are not in the store."""
        self._agreed = False
        """Whether the model was found to give what the store says."""
        wanted = shard_size or (CUDA_SHARD if classifier.device.type == "cuda" else _cpu_shard(classifier))
        self.shard_size = -(-wanted // self.batch_size) * self.batch_size
        self._kind = ""
        """The kind of device that workers have, where it is known."""
        self._keeper = self._new_keeper()

    def _new_keeper(self) -> Keeper:
        return Keeper(
            self.images,
            self.order,
            self.shard_size,
            facts=self._facts,
            view_key=lambda view: view_key(view, self._measurer.other_model),
        )

    @property
    def stored(self) -> Stored:
        """How much came from the store."""
        return replace(self._keeper.stored, of=sum(self._done.values()))

    @property
    def stored_by_view(self) -> dict[str, Stored]:
        """How much came from the store, by study and view: what several processes took can be told to be the same."""
        if self.store is None:
            return {}
        taken = self._keeper.taken
        return {
            f"{self._keeper.study} {view}": replace(taken.get(view, Stored()), of=done)
            for view, done in self._done.items()
        }

    @property
    def records(self) -> Records:
        """A copy of what is there so far."""
        columns = {view: {k: v.copy() for k, v in own.items()} for view, own in self._columns.items()}
        return Records(tuple(self._ids), self.images.names, self.images.labels, columns, self.provenance)

    @property
    def provenance(self) -> dict[str, str]:
        """Everything that the numbers depend on, in words."""
        complete = self.done(X) == len(self.images)
        described = describe(
            self.classifier,
            self.images,
            complete=complete,
            seed=self.seed,
            codec=self.codec,
            precision=self.precision,
            optimize=self.optimize,
            views=self._columns,
        )
        noted = {"batch size": note} if (note := self._measurer.batch_size_note) else {}
        return {**described, **noted, **self._there}

    def fresh(self, *, seed: int | None = None) -> Evaluation:
        """Return one with the same classifier, images and options that has evaluated nothing.

        It takes nothing from the store that this one could have kept there: under the same seed it is another take.
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
            store=self.store,
            shard_size=self.shard_size,
            take=self.take + 1 if seed in {None, self.seed} else 1,
            workers=self.workers,
        )
        fresh._agreed = self._agreed
        return fresh

    def refusal(self, view: View) -> RobustcheckError | None:
        """Return why a view can't be evaluated here, or None: a library, a model or labels that are not there."""
        if view not in self._refusals:
            try:
                check_feasible(view, self.classifier, self.images, self._measurer.other_model)
            except RobustcheckError as error:
                self._refusals[view] = error
            else:
                self._refusals[view] = None
        return self._refusals[view]

    def done(self, view: View) -> int:
        """Return on how many images, in order, a view has been evaluated."""
        return self._done.get(view, 0)

    @property
    def standing(self) -> int:
        """On how many images, in order, all views have been evaluated that were ever asked for."""
        return min((self.done(view) for view in self._columns), default=0)

    @property
    def underway(self) -> str:
        """Which of how many shards is being evaluated, and under how many views."""
        views, count = self._asked
        if not views:
            return ""
        of = -(-count // self.shard_size)
        shard = min(min(map(self.done, views)) // self.shard_size + 1, of)
        return f"shard {shard} of {of}, {len(views)} {'view' if len(views) == 1 else 'views'}"

    def columns(self, view: View) -> Mapping[str, Column]:
        """Return a view's columns, in image-set order."""
        return self._columns[view]

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
        for view in trees:
            self._columns.setdefault(view, empty_columns(len(self.images)))
        start = min(self.done(view) for view in trees)
        self._asked = trees, of or goal

        def tell(done: int) -> None:
            if self.progress is not None:
                self.progress(done, of or goal)

        with stops_in_order():
            if self.sharing is not None and self.store is not None:
                self.sharing.fill(self, trees, start=start, goal=goal, furthest=of or goal)
            try:
                if self.workers is not None:
                    run_elsewhere(self, self.workers, trees, (start, goal, of or goal), tell)
                else:
                    for begin, stop, batches in self._legs(trees, start, goal):
                        self._compute(trees, begin, stop, batches, tell)
            finally:
                self._save()
        if goal == len(self.images):
            self._look_back()

    def missing(self, views: Iterable[str | View]) -> Iterator[tuple[Shard, tuple[View, ...]]]:
        """Yield the shards of which the store lacks something, in order, and the views that it lacks."""
        trees = tuple(dict.fromkeys((X, *map(parse, views))))
        kept = [view for view in trees if self.is_kept(view)]
        for shard in self.shards(0, len(self.order)):
            if lacking := self.lacking(kept, shard, now=True):
                yield shard, lacking

    def is_kept(self, view: View) -> bool:
        """Return whether a view's records can be kept: whether all that they depend on can be known."""
        return self._keeper.key(view) is not None

    def lacking(self, views: Iterable[View], shard: Shard, *, now: bool = False) -> tuple[View, ...]:
        """Return the views that the store lacks of a shard, or has of some of its images only.

        With `now` it is looked at anew, since other processes may have put something there.
        """
        parts = (
            self._keeper.look_up(self.store, shard) if now and self.store is not None else self._parts(shard)
        )
        whole = {key for part in parts if len(part) == len(shard) for key in part.columns}
        return tuple(view for view in views if self._keeper.key(view) not in whole)

    def shards(self, start: int, stop: int) -> Iterator[Shard]:
        """Yield the shards that have any of the images from `start` to `stop` of the order."""
        while start < min(stop, len(self.order)):
            shard = self._keeper.shard_at(start)
            yield shard
            start = shard.stop

    def shard_at(self, position: int) -> Shard:
        """Return the shard that an image of the order is in."""
        return self._keeper.shard_at(position)

    def slot(self, shard: Shard) -> str:
        """Return the shard's digest, over all that its numbers depend on but the views."""
        return self._keeper.slot(shard)

    def rest(self) -> None:
        """Have workers begin nothing more until more is asked for."""
        if self.workers is not None:
            self.workers.rest()

    def compute(self, views: Iterable[str | View], shard: Shard) -> Part:
        """Return what is measured of a shard under some views, and the clean images; nothing is recorded or kept."""
        ids, columns = self.measure(views, shard)
        return self._keeper.part(shard, ids, columns, self._doubts)

    def measure(
        self, views: Iterable[str | View], shard: Shard
    ) -> tuple[list[str], dict[View, dict[str, Column]]]:
        """Return the ids of a shard's images, and the columns of some views and the clean images."""
        plan = make_plan((X, *map(parse, views)))
        columns = {view: empty_columns(len(shard)) for view in plan.views}
        ids: list[str] = []
        batches = self.images.batches(self.batch_size, self.order[shard.start : shard.stop])
        is_first = shard.start == 0
        for batch, by_view in self._measurer.measured(plan, batches, lambda _batch: None, look=is_first):
            for view, rows in by_view.items():
                for name, values in zip(COLUMNS, rows, strict=True):
                    columns[view][name][len(ids) : len(ids) + len(batch)] = values
            ids += batch.ids
        return ids, columns

    @property
    def warned(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The warnings that were given: of the model, by the first batch, and others."""
        return tuple(self._doubts), tuple(sorted(self._told - {*self._doubts}))

    def work_as(self, there: Mapping[str, str]) -> None:
        """Know what workers say of themselves: `device` and `precision` as in `provenance`, and `kind` of device."""
        self._there = {name: there[name] for name in ("device", "precision")}
        if there["kind"] != self._keeper.facts["device"]:
            self._kind = there["kind"]
            self._keeper = self._new_keeper()  # nothing was taken yet by what it goes under here

    def receive(self, shard: Shard, measured: Measured) -> None:
        """Keep in the store what a worker measured, once its images are found to be those that are here.

        Raises `RobustcheckError` where they are not.
        """
        rows = self.order[shard.start : shard.stop]
        try:
            self.images.expect(rows, measured.ids)
            next(self.images.batches(1, rows[:1]))
        except RobustcheckError as error:
            raise RobustcheckError(
                f"{error}. The worker on {measured.where} read other pixels than are here: see that the same files are under "
                "the same paths there, and the same Pillow, or send it the images (--robustcheck-worker-options=images:pixels)"
            ) from None
        if self.store is not None and measured.device == self._keeper.facts["device"]:
            columns = {parse(text): own for text, own in measured.columns.items()}
            self._keep(self._keeper.part(shard, measured.ids, columns, measured.doubts))

    def absorb(self, shard: Shard, measured: Measured) -> None:
        """Take in what was measured of the shard that is next."""
        rows = self.order[shard.start : shard.stop]
        for text, own in measured.columns.items():
            view = parse(text)
            target = self._columns.setdefault(view, empty_columns(len(self.images)))
            if self.done(view) < shard.stop:
                for name in COLUMNS:
                    target[name][rows] = own[name]
                self._done[view] = shard.stop
        for row, image_id in zip(rows, measured.ids, strict=True):
            self._ids[row] = image_id
        self._doubt(measured.doubts)
        for text in measured.warnings:
            self._warn(text)

    def take_stored(self, views: tuple[View, ...], start: int) -> None:
        """Take from the store what it has of the shard in which `start` is, from there on."""
        shard = self.shard_at(start)
        if self._parts(shard):
            batches = [*self.images.batches(self.batch_size, self.order[start : shard.stop])]
            self._take_in(views, shard, start, batches)

    def commit(self, part: Part) -> None:
        """Put a part into the store, where there is one."""
        if self.store is not None:
            self.store.commit(part, {**self._keeper.facts, "images": self.images.name})

    def look(self, views: Iterable[str | View], rows: Iterable[int]) -> Iterator[Look]:
        """Yield some images of the set under some views, made and classified again; nothing is recorded."""
        plan = make_plan((X, *map(parse, views)))
        batches = self.images.batches(self.batch_size, np.array([*rows], dtype=np.int64))
        for batch, run in self._measurer.gone_through(plan, batches):
            with torch.inference_mode():
                shown = {view: run.logits[view].double().softmax(dim=1).cpu().numpy() for view in plan.views}
            images = {view: run.images[view].cpu().numpy() for view in plan.views}
            for at, row in enumerate(batch.indices.tolist()):
                yield Look(
                    row,
                    {view: pixels[at] for view, pixels in images.items()},
                    {view: probabilities[at] for view, probabilities in shown.items()},
                )

    def images_of(self, view: str | View, batch: Batch) -> torch.Tensor:
        """Return a batch of the set under a view, made anew: uint8 (n, 3, H, W) on the classifier's device.

        Nothing is recorded, and the classifier sees no more than making them takes.
        """
        tree = parse(view)
        if refusal := self.refusal(tree):
            raise refusal
        return self._measurer.images_of(tree, batch)

    def _legs(
        self, views: tuple[View, ...], start: int, goal: int
    ) -> Iterator[tuple[int, int, list[Batch] | None]]:
        """Yield from where to where to go at once, and the batches there where they had to be read already.

        That is so in a shard of which the store has a part, which by then has been taken in.
        """
        goal = min(-(-goal // self.batch_size) * self.batch_size, len(self.images))
        while start < goal:
            shard = self._keeper.shard_at(start)
            stop, batches = min(shard.stop, goal), None
            if self._parts(shard):
                batches = [*self.images.batches(self.batch_size, self.order[start:stop])]
                self._take_in(views, shard, start, batches)
            else:
                furthest = min(goal, start + _SHARDS_AHEAD * self.shard_size)
                while stop < furthest and not self._parts(self._keeper.shard_at(stop)):
                    stop = min(stop + self.shard_size, goal)
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
        done = min(self.done(view) for view in views)
        for plan, until in self._stretches(views, done, stop):
            if batches is None:
                source = self.images.batches(self.batch_size, self.order[done:until])
            else:
                source = iter(
                    batches[(done - begin) // self.batch_size : -(-(until - begin) // self.batch_size)]
                )
            top_labels = self._known_top_labels if X not in plan.views else lambda _batch: None
            for batch, by_view in self._measurer.measured(plan, source, top_labels):
                self._record(batch, by_view)
                for view in plan.views:
                    self._done[view] = done + len(batch)
                    self._unsaved.setdefault(view, done)
                done += len(batch)
                if done % self.shard_size == 0:
                    self._save()
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
        return torch.from_numpy(self._columns[X]["prediction"][batch.indices])

    def _record(self, batch: Batch, by_view: Rows) -> None:
        for view, rows in by_view.items():
            for name, values in zip(COLUMNS, rows, strict=True):
                self._columns[view][name][batch.indices] = values
        for index, image_id in zip(batch.indices, batch.ids, strict=True):
            self._ids[index] = image_id

    def _parts(self, shard: Shard) -> list[Part]:
        return [] if self.store is None else self._keeper.parts(self.store, shard)

    def _take_in(self, views: tuple[View, ...], shard: Shard, start: int, batches: Sequence[Batch]) -> None:
        """Take from the store what it has of a shard, as far as the batches go, which begin at `start`."""
        ids = [self._ids[row] for row in self.order[shard.start : start]]
        ids += [image_id for batch in batches for image_id in batch.ids]
        found = {view: best for view in views if (best := self._keeper.best(self._parts(shard), view, ids))}
        ahead = {view: best for view, best in found.items() if shard.start + best[1] > self.done(view)}
        if not ahead or self.store is None or not self._agrees(found.get(X), start - shard.start, batches[0]):
            return
        for view, (part, count) in ahead.items():
            have = max(0, self.done(view) - shard.start)
            rows = self.order[shard.start + have : shard.start + count]
            for name, values in part.columns[str(self._keeper.key(view))].items():
                self._columns[view][name][rows] = values[have:count]
            for row, image_id in zip(rows, ids[have:count], strict=True):
                self._ids[row] = image_id
            self._done[view] = shard.start + count
            if not self.store.began or part.computed < self.store.began:
                self._keeper.note_taken(view, part, count - have)
            self._doubt(part.doubts)

    def _agrees(self, clean: tuple[Part, int] | None, at: int, batch: Batch) -> bool:
        """Return whether the model gives what the store says of one clean image, asked once.

        Where it does not, nothing that is there is taken any more, and all of it is replaced.
        """
        if self._agreed or clean is None or clean[1] <= at or self.store is None:
            return True
        self._agreed = True
        stored = float(clean[0].columns[str(self._keeper.key(X))]["p_top"][at])
        precision = Precision(self.precision, self.classifier.device)
        with torch.inference_mode(), precision.arithmetic():
            now = float(self.classifier.logits(batch.pixels[:1].float()).double().softmax(dim=1).max())
        if abs(now - stored) <= _APART.get(self.precision, _APART_BELOW):
            return True
        self.store.say(
            f"{self.classifier.name} gives p(top) {now:.4f} for {batch.names[0]}, and the record store has {stored:.4f} "
            "from before: the model draws at random, or it changed in a way that neither its weights nor its code show. "
            "Nothing is taken from the store, and all is computed anew"
        )
        self.store = self._keeper.refreshed(self.store)
        return False

    def _save(self) -> None:
        """Keep what was computed since it was last done, shard by shard, where there is a store."""
        while self._unsaved and self.store is not None:
            shard = self._keeper.shard_at(min(self._unsaved.values()))
            views = [view for view, start in self._unsaved.items() if start < shard.stop]
            upto = {view: min(self.done(view), shard.stop) for view in views}
            for stop in sorted({*upto.values()} - {shard.start}):
                rows = self.order[shard.start : stop]
                columns = {view: cut(self._columns[view], rows) for view in views if upto[view] == stop}
                self._keep(self._keeper.part(shard, [self._ids[row] for row in rows], columns, self._doubts))
            for view in views:
                self._unsaved[view] = shard.stop
                if self.done(view) <= shard.stop:
                    del self._unsaved[view]
        self._unsaved.clear()

    def _keep(self, part: Part) -> None:
        """Put a part into the store; where that can't be done, say so, and go on without one."""
        try:
            if part.columns:
                self.commit(part)
        except RobustcheckError as error:
            if self.store is not None:
                self.store.say(f"{error}. The run goes on without the record store")
            self.store = None

    def _facts(self) -> dict[str, str]:
        provenance = describe(
            self.classifier,
            self.images,
            complete=False,
            seed=self.seed,
            codec=self.codec,
            precision=self.precision,
            optimize=self.optimize,
        )
        facts = study_facts(
            self.classifier, {**provenance, **self._there}, batch_size=self.batch_size, take=self.take
        )
        return {**facts, **({"device": self._kind} if self._kind else {})}

    def _look_at(self, run: BatchRun) -> None:
        """Warn of what the first batch shows to be wrong with the model."""
        from robustcheck.evaluation.sanity.first_batch import doubts

        self._doubt(doubts(run))

    def _doubt(self, doubts: Iterable[str]) -> None:
        """Warn of what a first batch has shown, in this run or in that which the store has it from."""
        for doubt in doubts:
            if doubt not in self._doubts:
                self._doubts.append(doubt)
            self._warn(doubt)

    def _look_back(self) -> None:
        """Warn of what the records of whole image sets show to be wrong with attacks and labels."""
        from robustcheck.evaluation.sanity import warnings_of

        for warning in warnings_of(self.records, self.classifier.class_count):
            self._warn(warning)

    def _warn(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            warnings.warn(f"{self.classifier.name}: {text}", RobustnessWarning, stacklevel=2)

    def _check_labels(self) -> None:
        if self.images.has_labels and (self.images.labels >= 0).any():
            self.images.check_labels(self.classifier.probe())


def _cpu_shard(classifier: Classifier) -> int:
    height, width = classifier.input_size
    return min(max(_CPU_PIXELS // (height * width), _LEAST_SHARD), CPU_SHARD)
