"""Batches through a plan: made, classified and measured on the device, and fetched once each, late.

On CUDA the host gives the device the work of one batch while it computes the one before, and waits once a batch, for
what was measured of the earlier one; tests/gpu holds that nothing else waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robustcheck.attacks import HasLogits, transfer_from
from robustcheck.attacks.gradient import not_finite
from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.batch_state import BatchState, CleanBatch
from robustcheck.evaluation.diagnostics import Diagnostics
from robustcheck.evaluation.measures import measure
from robustcheck.evaluation.plan import Plan, make_plan
from robustcheck.evaluation.prepared_model import PreparedModel, default_batch_size, measure_batch_sizes
from robustcheck.images import Batch, ImageSet
from robustcheck.models import Classifier, load_model, send
from robustcheck.models.device import is_out_of_memory
from robustcheck.notation import View, X
from robustcheck.records import Column, Rows, as_rows
from robustcheck.specs import check_model_in_view

_TRIAL_BATCH = 2
"""How many of its images a folded network is tried on at once."""


@dataclass(frozen=True)
class RunConfig:
    """What a user may choose of how records are computed."""

    seed: int = 0
    """The seed of everything random."""
    batch_size: int | str | None = None
    """How many images the model gets at once: None for the device's default, "auto" for the fastest size."""
    codec: str = "auto"
    precision: str = "fp32"
    optimize: str = "fold"
    shard_size: int | None = None
    """About how many images a shard has; None for the default."""
    transfer: Mapping[str, str] = field(default_factory=dict)
    """Specs of other models, by the names that views give them: `from=NAME`."""
    replicate: int = 1
    """A second evaluation of the same shares no records with the first."""
    is_folded: bool | None = None
    """Whether batch normalisations are folded, as another process has found; None: by a trial, if `optimize` says so."""
    fetch_late: bool | None = None
    """Whether a batch's results are fetched once the next has been sent; None: on CUDA, which computes meanwhile."""


@dataclass(frozen=True)
class ImageSample:
    """One image of the set under some views, for a person to look at."""

    row: int
    images: Mapping[View, npt.NDArray[np.uint8]]  # (3, H, W), RGB, 0..255
    probabilities: Mapping[View, npt.NDArray[np.float64]]  # (classes,)


class BatchRunner:
    """Runs batches through one classifier."""

    def __init__(
        self, classifier: Classifier, images: ImageSet, config: RunConfig, diagnostics: Diagnostics
    ) -> None:
        self.classifier: Classifier = classifier
        self.diagnostics: Diagnostics = diagnostics
        self._images = images
        self.batch_size_note: str = ""
        """How the size of the batch was found, where it was measured."""
        self.config: RunConfig = config
        self.batch_size: int = self._batch_size(config.batch_size)
        self.config = replace(config, batch_size=self.batch_size)
        self._limit, self._is_short = self.batch_size, False
        """How many images there is memory for, as far as is known."""
        self._is_first = True
        is_cuda = classifier.device.type == "cuda"
        self._fetches_late = is_cuda if config.fetch_late is None else config.fetch_late
        self._other_models: dict[str, HasLogits] = {}

    @cached_property
    def model(self) -> PreparedModel:
        """The classifier made ready to run."""
        return PreparedModel.prepared(
            self.classifier,
            precision=self.config.precision,
            optimize=self.config.optimize,
            is_folded=self.config.is_folded,
            trial=self._trial_batches,
        )

    def _trial_batches(self) -> list[Tensor]:
        """Return two batches of the run's images: uint8 (n, 3, H, W)."""
        rows = np.arange(min(len(self._images), 2 * _TRIAL_BATCH))
        return [batch.pixels for batch in self._images.batches(_TRIAL_BATCH, rows)]

    def other_model(self, name: str) -> HasLogits:
        """Return a model that a view's `from=NAME` names, loaded once, on the classifier's device.

        Raises RobustcheckError for a name that a view may not use and the run does not declare.
        """
        if name not in self._other_models:
            if name not in self.config.transfer:
                check_model_in_view(name)
            source = load_model(self.config.transfer.get(name, name), device=self.classifier.device)
            self._other_models[name] = transfer_from(source, self.classifier)
        return self._other_models[name]

    def measure(
        self,
        plan: Plan,
        batches: Iterable[Batch],
        top_labels: Callable[[Batch], Tensor] | None = None,
        *,
        diagnose: bool = True,
    ) -> Iterator[tuple[Batch, dict[View, Rows]]]:
        """Yield each batch with what was measured of it under a plan.

        `top_labels` gives l_x of a batch that was classified before, int64 (n,). If the device runs out of memory, half
        a batch is run at a time. `diagnose` is whether the first batch of all may be one of these. Raises
        `RobustcheckError` for logits or gradients that are not finite.
        """
        source = iter(batches)
        waiting: tuple[Batch, list[PendingBatch]] | None = None
        while True:
            try:
                batch = next(source, None)
                sent = None if batch is None else (batch, self._send(plan, batch, top_labels, diagnose))
            except Exception:  # of this batch: what was computed of the one before is not lost
                if waiting is not None:
                    yield waiting[0], self._fetched(plan, waiting[1])
                raise
            ready, waiting = (waiting, sent) if self._fetches_late else (sent, None)
            if ready is not None:
                yield ready[0], self._fetched(plan, ready[1])
            elif batch is None:
                return

    def samples(self, views: Iterable[View], batches: Iterable[Batch]) -> Iterator[ImageSample]:
        """Yield each image of some batches under some views, made and classified again."""
        plan = make_plan(views)
        for batch in batches:
            for part in _split(batch, self._limit):
                with self.model.precision.arithmetic():
                    run = self._run(plan, part, None)
                yield from _samples(plan, part, run)

    def images_of(self, view: View, batch: Batch) -> Tensor:
        """Return a batch under a view: uint8 (n, 3, H, W) on the classifier's device."""
        with self.model.precision.arithmetic():
            run = self._made(make_plan((X, view)), batch, None)
        self._check_gradients(batch.names, *run.finite_gradients)
        return run.images[view]

    def _batch_size(self, asked: int | str | None) -> int:
        if asked == "auto":
            with self.model.precision.arithmetic():
                found = measure_batch_sizes(self.model)
            self.batch_size_note = str(found)
            return found.best
        return int(asked or default_batch_size(self.classifier.device))

    def _send(
        self, plan: Plan, batch: Batch, top_labels: Callable[[Batch], Tensor] | None, diagnose: bool
    ) -> list[PendingBatch]:
        was_first = self._is_first
        while True:
            try:
                return [
                    self._sent(plan, part, top_labels and top_labels(part), diagnose)
                    for part in _split(batch, self._limit)
                ]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                problem = str(error).partition("\n")[0]
            self._is_first = was_first
            # Out here, since the error holds what was in memory.
            self._halve(min(len(batch), self._limit), problem)

    def _halve(self, size: int, problem: str) -> None:
        """Run half as many images at once from now on; raises `RobustcheckError` where that is one already."""
        if size == 1:
            raise RobustcheckError(
                f"{self.classifier.name}: {self.classifier.device} ran out of memory with a batch of one image "
                f"({problem}); free memory there, name another --robustcheck-device, or ask for fewer views at once"
            )
        self._limit = (size + 1) // 2
        if self.classifier.device.type == "cuda":
            torch.cuda.empty_cache()  # what is cached is in pieces that may fit no more
        if not self._is_short:
            self._is_short = True
            self.diagnostics.warn(
                f"{self.classifier.device} ran out of memory with a batch of {size} images; the run continues with smaller "
                "batches. Numbers may differ in the last digits from those of whole batches; a smaller "
                "--robustcheck-batch-size saves the time that this takes"
            )

    def _sent(self, plan: Plan, batch: Batch, top_labels: Tensor | None, diagnose: bool) -> PendingBatch:
        with self.model.precision.arithmetic():
            run = self._run(plan, batch, top_labels)
            with torch.inference_mode():
                values = torch.stack([measure(run, view) for view in plan.views])  # (views, rows, n)
        first = diagnose and self._is_first
        self._is_first &= not first
        attacks, finite = run.finite_gradients
        (values, finite), arrived = _on_its_way(values, finite)
        return PendingBatch(batch.names, values, attacks, finite, arrived, run if first else None)

    def _run(self, plan: Plan, batch: Batch, top_labels: Tensor | None) -> BatchState:
        """Return a batch with all images and logits of a plan."""
        run = self._made(plan, batch, top_labels)
        run.classify(plan.views)
        return run

    def _made(self, plan: Plan, batch: Batch, top_labels: Tensor | None) -> BatchState:
        """Return a batch with all images of a plan."""
        device = self.classifier.device
        clean = CleanBatch(
            send(batch.pixels, device),
            batch.ids,
            send(batch.labels, device),
            None if top_labels is None else send(top_labels, device),
        )
        run = BatchState(
            self.model,
            clean,
            seed=self.config.seed,
            codec=self.config.codec,
            batch_size=self._limit,
            other_model=self.other_model,
        )
        if plan.clean_gradient:
            run.find_clean_gradient()  # first, since it classifies the clean images on the way
        for group in plan.steps:
            run.make(group)
        return run

    def _fetched(self, plan: Plan, parts: list[PendingBatch]) -> dict[View, Rows]:
        values = np.concatenate([self._arrived(plan, part) for part in parts], axis=2)
        return dict(zip(plan.views, map(as_rows, values), strict=True))

    def _arrived(self, plan: Plan, part: PendingBatch) -> Column:
        if part.arrived is not None:
            part.arrived.synchronize()
        values = part.values.numpy()
        for view, rows in zip(plan.views, values, strict=True):
            self._check_finite(view, part.names, rows[0])
        self._check_gradients(part.names, part.attacks, part.finite)
        if part.first is not None:
            self.diagnostics.check_first_batch(part.first)
        return values

    def _check_gradients(self, names: tuple[str, ...], attacks: tuple[str, ...], finite: Tensor) -> None:
        for attack, is_finite in zip(attacks, finite.tolist(), strict=True):
            if not is_finite:
                where = f"on the way to {attack}, from some of the images {names[0]} to {names[-1]}"
                raise not_finite(self.classifier, where)

    def _check_finite(self, view: View, names: tuple[str, ...], predictions: Column) -> None:
        bad = np.flatnonzero(np.isnan(predictions))
        if len(bad):
            raise RobustcheckError(
                f"{self.classifier.name} gave logits that are not finite for {len(bad)} of {len(predictions)} "
                f"images of {view}, the first being {names[bad[0]]}: such a model can't be evaluated; "
                "look for overflow (half precision?), a division by zero, or damaged weights"
            )


@dataclass(frozen=True)
class PendingBatch:
    """What was measured of a batch, on its way from the device."""

    names: tuple[str, ...]
    values: Tensor  # float64 (views, rows, n), on the host once `arrived` has happened
    attacks: tuple[str, ...]
    finite: Tensor  # bool (attacks,): whether the gradients of each were finite
    arrived: torch.cuda.Event | None
    first: BatchState | None
    """The run itself, where it was the first."""


def _on_its_way(*tensors: Tensor) -> tuple[list[Tensor], torch.cuda.Event | None]:
    """Return tensors of the host that others are being copied to, and what happens once they are there."""
    device = tensors[0].device
    if device.type != "cuda":
        return [*tensors], None
    hosts = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
    for host, tensor in zip(hosts, tensors, strict=True):
        host.copy_(tensor, non_blocking=True)
    return hosts, torch.cuda.current_stream(device).record_event()


def _split(batch: Batch, size: int) -> Iterator[Batch]:
    """Yield a batch's images in batches of at most `size`."""
    for start in range(0, len(batch), size):
        rows = slice(start, start + size)
        yield Batch(
            pixels=batch.pixels[rows],
            labels=batch.labels[rows],
            ids=batch.ids[rows],
            indices=batch.indices[rows],
            names=batch.names[rows],
        )


def _samples(plan: Plan, batch: Batch, run: BatchState) -> Iterator[ImageSample]:
    """Yield each image of a batch that was run through a plan."""
    with torch.inference_mode():
        shown = {
            view: run.logits[(view.draws or (view,))[0]].double().softmax(dim=1).cpu().numpy()
            for view in plan.views
        }
    images = {view: run.images[view].cpu().numpy() for view in plan.views}
    for at, row in enumerate(batch.indices.tolist()):
        yield ImageSample(
            row,
            {view: pixels[at] for view, pixels in images.items()},
            {view: probabilities[at] for view, probabilities in shown.items()},
        )
