"""Images through views through the classifier, batch by batch, into records."""

from __future__ import annotations

import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from robustcheck.attacks.arguments import whole_number
from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.cache_keys import config_facts, view_key
from robustcheck.evaluation.checkpoint import RecordCheckpoint, SpotCheck
from robustcheck.evaluation.diagnostics import Diagnostics
from robustcheck.evaluation.executor import Executor, LocalExecutor, Workload
from robustcheck.evaluation.provenance import ModelState, describe
from robustcheck.evaluation.runner import BatchRunner, ImageSample, RunConfig
from robustcheck.evaluation.shards import Place, Shard, ShardRecords, Shards, ShardTask
from robustcheck.evaluation.table import Table
from robustcheck.evaluation.validation import validate_view
from robustcheck.images import Batch, ImageSet, as_image_set, match_classes
from robustcheck.models import Classifier, as_classifier
from robustcheck.notation import View, X, parse
from robustcheck.records import Records, Rows
from robustcheck.records.provenance import Provenance
from robustcheck.store.block import RecordBlock
from robustcheck.store.stats import CacheStats
from robustcheck.store.store import RecordStore, open_store

Progress = Callable[[int, int], None]
"""Called with how many images are done, and of how many."""


def evaluate(
    classifier: Classifier | nn.Module,
    images: Any,
    views: str | View | Iterable[str | View],
    *,
    seed: int = 0,
    batch_size: int | str | None = None,
    codec: str = "auto",
    precision: str = "fp32",
    optimize: str = "fold",
    transfer: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    store: RecordStore | Path | str | None = None,
) -> Records:
    """Evaluate a classifier on all images under some views, and return the records.

    The pixels of a few batches are in memory at a time; records take 48 bytes per image and view.

    Args:
        classifier: the classifier under test, or a network that carries its preprocessing in `pretrained_cfg`.
        images: what the fixture `robustcheck_images` may return: an `ImageSet`, the path of a folder or a table or another
            spec of `open_images`, arrays, a list, a torch Dataset or DataLoader, or (X, y); see
            `robustcheck.images.image_set_of`. Classes are matched to the classifier's by name where both have names.
        views: a view in the paper's notation, such as "JPG(Adv_1)", or several; the clean images, "x", are always
            evaluated.
        seed: seed for every random choice.
        batch_size: images per forward pass; None for the device's default, "auto" to benchmark several sizes.
        codec: the JPEG codec; all give the same pixels.
        precision: one of `robustcheck.models.PRECISIONS`.
        optimize: "none" (the network as it is), "fold" (batch normalisation folded into convolutions, where a trial on
            two batches of the images shows that logits and gradients differ by rounding alone) or "compile" (that, and
            `torch.compile` for classification).
        transfer: specs of other models by the names that views give them, as in `Adv_1[from=NAME]`; a view itself can
            name those of torchvision, timm and the sample alone.
        progress: called with the number of images done and the number in all.
        store: folder for cached records, which are loaded instead of computed; see `robustcheck.store.store`.

    Raises:
        RobustcheckError: a seed or batch size that is no integer, a view that can't be parsed or evaluated, a model whose output is not finite, a precision that
            the device lacks.
    """
    if not isinstance(views, (str, View, Iterable)):
        raise RobustcheckError(
            f"views must be a view or a list of views, such as ['x', 'Adv_1'], got {views!r}"
        )
    seed = whole_number("seed", seed, least=None)
    if batch_size is not None and batch_size != "auto":
        batch_size = whole_number("batch_size (or None, or 'auto')", batch_size)
    config = RunConfig(seed, batch_size, codec, precision, optimize, transfer=transfer or {})
    classifier = as_classifier(classifier, name="classifier")
    opened = match_classes(as_image_set(images, classifier.preprocessing, name="images"), classifier)
    evaluation = Evaluation(classifier, opened, config, store=open_store(store), progress=progress)
    evaluation.run([views] if isinstance(views, (str, View)) else views)
    return evaluation.records


class Evaluation:
    """What has been computed of one classifier on one image set, growing as more is asked for.

    Images are taken in a fixed `order`. Records that a `store` has are loaded from it, and what is computed is kept
    there, by shards. The `executor` computes; without one, this process does.
    """

    def __init__(
        self,
        classifier: Classifier,
        images: ImageSet,
        config: RunConfig | None = None,
        *,
        order: npt.NDArray[np.int64] | None = None,
        store: RecordStore | None = None,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.classifier: Classifier = classifier
        self.images: ImageSet = images
        self.order: npt.NDArray[np.int64] = np.arange(len(images)) if order is None else order
        self.executor: Executor = executor or LocalExecutor()
        self.progress: Progress | None = progress
        self.during: Callable[[], AbstractContextManager[None]] = nullcontext
        """Entered for the time of each run, those of evaluations made from this one included."""
        self.diagnostics: Diagnostics = Diagnostics(classifier.name)
        self._runner = BatchRunner(classifier, images, config or RunConfig(), self.diagnostics)
        self.config: RunConfig = self._runner.config
        self.batch_size: int = self._runner.batch_size
        self.table: Table = Table(self.order)
        self.shards: Shards = Shards.whole(classifier, len(images), self.batch_size, self.config.shard_size)
        self.checkpoint: RecordCheckpoint = RecordCheckpoint(
            store,
            images,
            self.table,
            self.shards,
            check=SpotCheck(classifier, images, self.config.precision),
            facts=lambda: config_facts(
                classifier,
                self._describe(),
                batch_size=self.batch_size,
                replicate=self.config.replicate,
            ),
            view_key=lambda view: view_key(view, self._runner.other_model),
        )
        self.workload: Workload = Workload(
            self._runner, images, self.order, self.shards, self.checkpoint, self.table.top_labels
        )
        self._unsupported: dict[View, RobustcheckError | None] = {}
        self._asked: tuple[tuple[View, ...], int] = (), 0
        """The views and the number of images that are being evaluated."""
        self._early: defaultdict[int, list[ShardRecords]] = defaultdict(list)
        """Records that nobody has asked for yet, by shard."""
        self._state: ModelState | None = None
        """What the model is, as of the first run."""
        self._place: Place | None = None
        """Where records are computed, if not in this process."""

    def fresh(self, *, seed: int | None = None, stored: bool = True) -> Evaluation:
        """Return one with the same classifier, images and options that has evaluated nothing.

        It loads nothing from the store that this one could have kept there: under the same seed it is another
        replicate. Unless `stored`, it has no store.
        """
        is_replicate = seed in {None, self.config.seed}
        config = replace(
            self.config,
            seed=self.config.seed if seed is None else seed,
            replicate=self.config.replicate + 1 if is_replicate else 1,
            shard_size=self.shards.size,
        )
        store = self.checkpoint.store if stored else None
        fresh = Evaluation(
            self.classifier, self.images, config, order=self.order, store=store, executor=self.executor
        )
        fresh.checkpoint.check = self.checkpoint.check
        fresh.during = self.during
        return fresh

    # -------------------------------------------------------------------------------------- what has been measured

    @property
    def records(self) -> Records:
        """A copy of what has been measured so far."""
        return self.table.records(self.images, self.provenance)

    @property
    def provenance(self) -> Provenance:
        """Everything that the numbers depend on."""
        complete = self.done(X) == len(self.images)
        return replace(
            self._describe(complete=complete, views=self.table.views), batch_size=self._runner.batch_size_note
        )

    def done(self, view: View) -> int:
        """Return on how many images, in order, a view has been evaluated."""
        return self.table.done(view)

    @property
    def completed(self) -> int:
        """The number of leading images on which every requested view is done."""
        return min((self.done(view) for view in self.table.views), default=0)

    @property
    def saved(self) -> int:
        """The number of leading images of which the store has all that was requested."""
        unsaved = self.checkpoint.unsaved_from
        return self.completed if unsaved is None else min(unsaved, self.completed)

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
    def stored(self) -> CacheStats:
        """How much came from the store."""
        return replace(sum(self.checkpoint.loaded.values(), CacheStats()), of=self.table.rows)

    @property
    def stored_by_view(self) -> dict[str, CacheStats]:
        """How much came from the store, by configuration and view, to merge what several processes loaded."""
        if self.checkpoint.store is None:
            return {}
        digest, loaded = self.checkpoint.config_digest, self.checkpoint.loaded
        return {
            f"{digest} {view}": replace(loaded.get(view, CacheStats()), of=self.done(view))
            for view in self.table.views
        }

    def unsupported_reason(self, view: View) -> RobustcheckError | None:
        """Return why a view can't be evaluated here (a missing library, model or labels), or None."""
        if view not in self._unsupported:
            try:
                validate_view(view, self.classifier, self.images, self._runner.other_model)
            except RobustcheckError as error:
                self._unsupported[view] = error
            else:
                self._unsupported[view] = None
        return self._unsupported[view]

    # --------------------------------------------------------------------------------------------------- evaluating

    def run(self, views: Iterable[str | View], *, count: int | None = None, of: int | None = None) -> None:
        """Evaluate the views on the first `count` images of the order (None: all), where that is not done.

        Whole batches are evaluated, so it can be a few more. `of` is the number of images that progress is reported
        towards, where `count` is a step on the way.
        """
        with self.during():
            trees = tuple(dict.fromkeys((X, *map(parse, views))))
            if self.images.has_labels and (self.images.labels >= 0).any():
                self.images.check_labels(self.classifier.probe())
            for view in trees:
                if reason := self.unsupported_reason(view):
                    raise reason
            goal = len(self.images) if count is None else min(count, len(self.images))
            self.table.add(trees)
            self._asked = trees, of or goal
            with _sigterm_as_interrupt(), self.classifier.evaluating():
                try:
                    if self._evaluated < goal:
                        self._check_model()
                        self._compute(trees, goal)
                finally:
                    self.checkpoint.save(self.diagnostics.of_first_batch)
            if goal == len(self.images):
                self.diagnostics.check_records(self.records, self.classifier.class_count)

    def missing(self, views: Iterable[str | View]) -> Iterator[tuple[Shard, tuple[View, ...]]]:
        """Yield the shards of which the store lacks something that can be kept, in order, and the views that it lacks."""
        trees = dict.fromkeys((X, *map(parse, views)))
        kept = [view for view in trees if self.checkpoint.view_key(view) is not None]
        for shard in self.shards.between(0, len(self.images)):
            if lacking := self.checkpoint.missing_views(kept, shard):
                yield shard, lacking

    def compute(self, views: Iterable[str | View], shard: Shard) -> RecordBlock:
        """Return the block of a shard under some views, and the clean images; nothing is recorded or kept."""
        return self.checkpoint.block(self.workload.compute(shard, map(parse, views)))

    def commit(self, block: RecordBlock) -> None:
        """Write a block to the store, if there is one; raises `RobustcheckError` where it can't be written."""
        self.checkpoint.commit(block)

    def _compute(self, views: tuple[View, ...], goal: int) -> None:
        """Have the first `goal` images of the order computed, and merge what the executor yields."""
        if place := self.executor.prepare(self.workload):
            self._place = place
            self.checkpoint.assume_device(place.kind)
        goal = min(-(-goal // self.batch_size) * self.batch_size, len(self.images))
        end = self.shards.at(goal - 1).stop
        for start in sorted(start for start in self._early if start < end):
            for records in self._early.pop(start):
                self._merge(records)
        if self._evaluated >= goal:
            return
        tasks, ahead = self._tasks(views, self._evaluated, goal), self._tasks(views, end, self._asked[1])
        with closing(self.executor.run(self.workload, tasks, ahead)) as results:
            for records in results:
                if records.start < end:
                    self._merge(records)
                else:
                    self._early[self.shards.at(records.start).start].append(records)

    def _check_model(self) -> None:
        """Raise RobustcheckError where the model is not what it was when views were evaluated before."""
        if self._state is None:
            self._state = ModelState.of(self.classifier)
            self.checkpoint.check_keys()
            return
        fingerprint = self.classifier.fingerprint
        if fingerprint != self._state.fingerprint:
            raise RobustcheckError(
                f"the weights of {self.classifier.name} changed since its first views were evaluated (then "
                f"{self._state.fingerprint}, now {fingerprint}), and the numbers of one evaluation must be of one network: "
                "train it before the evaluation, or evaluate it anew"
            )

    def _tasks(self, views: tuple[View, ...], start: int, goal: int) -> Iterator[ShardTask]:
        """Yield what is missing of the images between two positions, shard by shard."""
        for shard in self.shards.between(start, goal):
            stop = min(shard.stop, goal)
            missing = {view: at for view in views if (at := self.table.missing(view, shard)) < stop}
            if missing and shard.start not in self._early:
                yield ShardTask(shard, missing, stop)

    def _merge(self, records: ShardRecords) -> None:
        """Add records to the table, commit them at the end of their shard, and report warnings and progress."""
        shard, before = self.shards.at(records.start), self._evaluated
        self.table.add(records.columns)
        new = {
            view: own
            for view, own in records.columns.items()
            if self.table.missing(view, shard) < records.stop
        }
        self.table.put(records.start, records.ids, new)
        self._place = self._place or records.place
        self.diagnostics.warn_of_first_batch(records.first_batch_warnings)
        for warning in records.warnings:
            self.diagnostics.warn(warning)
        if not records.is_stored:
            self.checkpoint.note_computed(new, shard)
        if records.stop == shard.stop:
            self.checkpoint.save(self.diagnostics.of_first_batch, shard)
        if self.progress is not None and self._evaluated > before:
            self.progress(min(self._evaluated, self._asked[1]), self._asked[1])

    @property
    def _evaluated(self) -> int:
        """The number of leading images on which every view that was asked for last is done."""
        return min(map(self.done, self._asked[0]), default=0)

    # ------------------------------------------------------------------------------------------ images, for a person

    def samples(self, views: Iterable[str | View], rows: Iterable[int]) -> Iterator[ImageSample]:
        """Yield some images of the set under some views, made and classified again; nothing is recorded."""
        batches = self.images.batches(self.batch_size, np.array([*rows], dtype=np.int64))
        with self.classifier.evaluating():
            yield from self._runner.samples((X, *map(parse, views)), batches)

    def images_of(self, view: str | View, batch: Batch) -> Tensor:
        """Return a batch of the set under a view, made anew: uint8 (n, 3, H, W) on the classifier's device.

        Nothing is recorded, and the classifier sees no more than making them takes.
        """
        tree = parse(view)
        if reason := self.unsupported_reason(tree):
            raise reason
        with self.classifier.evaluating():
            return self._runner.images_of(tree, batch)

    # --------------------------------------------------------------------------------------------------------------

    def _describe(self, *, complete: bool = False, views: Iterable[View] = ()) -> Provenance:
        place = self._place
        state = self._state or ModelState.of(self.classifier)
        described = describe(
            self.classifier, self.images, self.config, state=state, complete=complete, views=views
        )
        return replace(described, devices=(place.device,), precision=place.precision) if place else described


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM, by which batch systems and CI end a job, into a KeyboardInterrupt, unless it has a handler."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt("stopped by SIGTERM")
