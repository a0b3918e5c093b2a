"""Images through views through the classifier, batch by batch, into records."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from robustcheck.attacks import HasLogits, transfer_from
from robustcheck.errors import RobustcheckError, RobustnessWarning
from robustcheck.evaluation.batch import BatchRun
from robustcheck.evaluation.feasible import check_feasible
from robustcheck.evaluation.measures import measure
from robustcheck.evaluation.plan import Plan, make_plan
from robustcheck.evaluation.provenance import describe
from robustcheck.evaluation.steps import make
from robustcheck.images import Batch, ImageSet
from robustcheck.models import Classifier, load_model
from robustcheck.notation import View, X, parse
from robustcheck.records import COLUMNS, Column, Records, empty_columns

Progress = Callable[[int, int], None]
"""Told how many images are done, and of how many."""

CPU_BATCH, CUDA_BATCH = 8, 128
"""On a CPU small batches win: their activations stay in the caches."""


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
    batch_size: int | None = None,
    codec: str = "auto",
    progress: Progress | None = None,
) -> Records:
    """Return records of some views of all images.

    `seed` is the master seed of everything random. `batch_size` is how many images the model gets at
    once; None chooses by device. `codec` is the JPEG codec; all give the same images. Memory does not
    grow with the number of images, but for the records.

    Raises `RobustcheckError` for a view that can't be read and for a model whose output is not finite.
    """
    evaluation = Evaluation(
        classifier, images, seed=seed, batch_size=batch_size, codec=codec, progress=progress
    )
    evaluation.run(views)
    return evaluation.records


class Evaluation:
    """What has been computed of one classifier on one image set, growing as more is asked for.

    Images are taken in a fixed order; each view has been evaluated on some number of the first of them.
    """

    def __init__(
        self,
        classifier: Classifier,
        images: ImageSet,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        codec: str = "auto",
        order: npt.NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.classifier, self.images, self.seed, self.codec = classifier, images, seed, codec
        self.batch_size = batch_size or (CUDA_BATCH if classifier.device.type == "cuda" else CPU_BATCH)
        self.order = np.arange(len(images)) if order is None else order
        self.progress = progress
        self._ids = [""] * len(images)
        self._columns: dict[View, dict[str, Column]] = {}
        self._done: dict[View, int] = {}
        self._other_models: dict[str, HasLogits] = {}
        self._looked_at = False
        self._told: set[str] = set()
        """The warnings that were given."""
        self._refusals: dict[View, RobustcheckError | None] = {}

    @property
    def records(self) -> Records:
        """A copy of what is there so far."""
        columns = {view: {k: v.copy() for k, v in own.items()} for view, own in self._columns.items()}
        return Records(tuple(self._ids), self.images.names, self.images.labels, columns, self.provenance)

    @property
    def provenance(self) -> dict[str, str]:
        """Everything that the numbers depend on, in words."""
        complete = self.done(X) == len(self.images)
        return describe(
            self.classifier,
            self.images,
            complete=complete,
            seed=self.seed,
            codec=self.codec,
            views=self._columns,
        )

    def fresh(self, *, seed: int | None = None) -> Evaluation:
        """Return one with the same classifier, images and options that has evaluated nothing."""
        return Evaluation(
            self.classifier,
            self.images,
            seed=self.seed if seed is None else seed,
            batch_size=self.batch_size,
            codec=self.codec,
            order=self.order,
        )

    def refusal(self, view: View) -> RobustcheckError | None:
        """Return why a view can't be evaluated here, or None: a library, a model or labels that are not there."""
        if view not in self._refusals:
            try:
                check_feasible(view, self.classifier, self.images, self._other_model)
            except RobustcheckError as error:
                self._refusals[view] = error
            else:
                self._refusals[view] = None
        return self._refusals[view]

    def _other_model(self, spec: str) -> HasLogits:
        """Return the model that a view's `from=SPEC` names, loaded once, on the classifier's device."""
        if spec not in self._other_models:
            source = load_model(spec, device=self.classifier.device)
            self._other_models[spec] = transfer_from(source, self.classifier)
        return self._other_models[spec]

    def done(self, view: View) -> int:
        """Return on how many images, in order, a view has been evaluated."""
        return self._done.get(view, 0)

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
        for plan, stop in self._stretches(trees, start, goal):
            for batch in self.images.batches(self.batch_size, self.order[start:stop]):
                self._record(plan, batch)
                start += len(batch.ids)
                self._done.update(dict.fromkeys(plan.views, start))
                if self.progress is not None:
                    self.progress(start, of or goal)
        if goal == len(self.images):
            self._look_back()

    def look(self, views: Iterable[str | View], rows: Iterable[int]) -> Iterator[Look]:
        """Yield some images of the set under some views, made and classified again; nothing is recorded."""
        plan = make_plan((X, *map(parse, views)))
        for batch in self.images.batches(self.batch_size, np.array([*rows], dtype=np.int64)):
            run = self._start(plan, batch)
            for group in plan.steps:
                make(run, group)
            run.classify(plan.views)
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
        plan = make_plan((X, tree))
        run = self._start(plan, batch)
        for group in plan.steps:
            make(run, group)
        run.check_gradients(batch.names)
        return run.images[tree]

    def _stretches(self, views: tuple[View, ...], start: int, goal: int) -> Iterator[tuple[Plan, int]]:
        """Yield what to compute up to where: from image to image, the views that are not there yet."""
        whole_batches = -(-goal // self.batch_size) * self.batch_size
        goal = min(whole_batches, len(self.images))
        for stop in sorted({done for view in views if start < (done := self.done(view)) < goal} | {goal}):
            if start < stop:
                yield make_plan(view for view in views if self.done(view) <= start), stop
                start = stop

    def _record(self, plan: Plan, batch: Batch) -> None:
        run = self._start(plan, batch)
        for group in plan.steps:
            make(run, group)
        run.classify(plan.views)
        with torch.inference_mode():
            measured = torch.stack([measure(run, view) for view in plan.views])  # (views, rows, n)
        by_view = dict(zip(plan.views, measured.cpu().numpy(), strict=True))
        for view, rows in by_view.items():
            self._check_finite(view, batch, rows[0])
        run.check_gradients(batch.names)
        if not self._looked_at:
            self._look_at(run)
        for view, rows in by_view.items():
            for name, values in zip(COLUMNS, rows, strict=True):
                self._columns[view][name][batch.indices] = values
        for index, image_id in zip(batch.indices, batch.ids, strict=True):
            self._ids[index] = image_id

    def _start(self, plan: Plan, batch: Batch) -> BatchRun:
        device = self.classifier.device
        top_labels = None
        if X not in plan.views:  # then the clean images have been classified before
            top_labels = torch.from_numpy(self._columns[X]["prediction"][batch.indices]).to(device)
        run = BatchRun(
            self.classifier,
            batch.pixels.to(device),
            ids=batch.ids,
            labels=batch.labels.to(device),
            seed=self.seed,
            codec=self.codec,
            batch_size=self.batch_size,
            top_labels=top_labels,
            other_model=self._other_model,
        )
        if plan.clean_gradient:
            run.find_clean_gradient()  # first, since it classifies the clean images on the way
        return run

    def _look_at(self, run: BatchRun) -> None:
        """Warn of what the first batch shows to be wrong with the model."""
        from robustcheck.evaluation.sanity.first_batch import doubts

        self._looked_at = True
        for doubt in doubts(run):
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

    def _check_finite(self, view: View, batch: Batch, predictions: Column) -> None:
        bad = np.flatnonzero(np.isnan(predictions))
        if len(bad):
            raise RobustcheckError(
                f"{self.classifier.name} gave logits that are not finite for {len(bad)} of {len(predictions)} "
                f"images of {view}, the first being {batch.names[bad[0]]}: nothing can be said of such a model; "
                "look for overflow (half precision?), a division by zero, or damaged weights"
            )
