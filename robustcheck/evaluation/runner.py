"""Batches through a plan: made, classified and measured on the device, and fetched once each, late.

On CUDA the host gives the device the work of one batch while it computes the one before, and waits once a batch, for
what was measured of the earlier one; tests/gpu holds that nothing else waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robustcheck.attacks import HasLogits, transfer_from
from robustcheck.attacks.gradient import not_finite
from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.batch_size import default_batch_size, measure_batch_sizes
from robustcheck.evaluation.batch_state import BatchState, CleanBatch
from robustcheck.evaluation.measures import measure
from robustcheck.evaluation.memory import give_back, split
from robustcheck.evaluation.plan import Plan, make_plan
from robustcheck.evaluation.prepared_model import Running
from robustcheck.images import Batch
from robustcheck.models import Classifier, load_model, send
from robustcheck.notation import View, X
from robustcheck.records import Column, Rows, as_rows


@dataclass(frozen=True)
class HowToRun:
    """What a user may choose of how numbers are computed."""

    seed: int = 0
    codec: str = "auto"
    precision: str = "fp32"
    optimize: str = "fold"


class Measurer:
    """One classifier, and how batches go through it.

    `batch_size` is how many images the model gets at once: None for the device's default, "auto" for the size at
    which it is fastest. `warn` is told what a user should know, `on_first` gets the first batch that has gone
    through.
    """

    def __init__(
        self,
        classifier: Classifier,
        how: HowToRun,
        *,
        batch_size: int | str | None,
        warn: Callable[[str], None],
        on_first: Callable[[BatchState], None],
    ) -> None:
        self.classifier, self.how = classifier, how
        self.batch_size_note = ""
        """How the size of the batch was found, where it was measured."""
        self.batch_size = self._batch_size(batch_size)
        self._at_once, self._is_short = self.batch_size, False
        """How many images there is memory for, as far as is known."""
        self._warn, self._on_first = warn, on_first
        self._is_first = True
        self._fetches_late = classifier.device.type == "cuda"
        """Elsewhere what was sent is there at once."""
        self._other_models: dict[str, HasLogits] = {}

    @cached_property
    def running(self) -> Running:
        """The classifier made ready to run."""
        return Running.prepared(self.classifier, precision=self.how.precision, optimize=self.how.optimize)

    def other_model(self, spec: str) -> HasLogits:
        """Return the model that a view's `from=SPEC` names, loaded once, on the classifier's device."""
        if spec not in self._other_models:
            source = load_model(spec, device=self.classifier.device)
            self._other_models[spec] = transfer_from(source, self.classifier)
        return self._other_models[spec]

    def measured(
        self,
        plan: Plan,
        batches: Iterable[Batch],
        top_labels: Callable[[Batch], Tensor | None],
        *,
        look: bool = True,
    ) -> Iterator[tuple[Batch, dict[View, Rows]]]:
        """Yield each batch, gone through a plan, with what was measured of it.

        `top_labels` gives l_x of a batch that was classified before, int64 (n,), or None. Where memory runs out,
        half a batch goes through at a time. `look` is whether the first batch that was ever measured may be one of
        these. Raises `RobustcheckError` for logits or gradients that are not finite.
        """
        source = iter(batches)
        waiting: tuple[Batch, list[Sent]] | None = None
        while True:
            try:
                batch = next(source, None)
                sent = None if batch is None else (batch, self._send(plan, batch, top_labels, look=look))
            except Exception:  # of this batch: what was computed of the one before is not lost
                if waiting is not None:
                    yield waiting[0], self._fetched(plan, waiting[1])
                raise
            ready, waiting = (waiting, sent) if self._fetches_late else (sent, None)
            if ready is not None:
                yield ready[0], self._fetched(plan, ready[1])
            elif batch is None:
                return

    def gone_through(self, plan: Plan, batches: Iterable[Batch]) -> Iterator[tuple[Batch, BatchState]]:
        """Yield each batch, as many images as there is memory for, with all images and logits of a plan."""
        for batch in batches:
            for part in split(batch, self._at_once):
                with self.running.precision.arithmetic():
                    yield part, self._run(plan, part, None)

    def images_of(self, view: View, batch: Batch) -> Tensor:
        """Return a batch under a view: uint8 (n, 3, H, W) on the classifier's device."""
        with self.running.precision.arithmetic():
            run = self._made(make_plan((X, view)), batch, None)
        self._check_gradients(batch.names, *run.finite_gradients)
        return run.images[view]

    def _batch_size(self, asked: int | str | None) -> int:
        if asked == "auto":
            with self.running.precision.arithmetic():
                found = measure_batch_sizes(self.running)
            self.batch_size_note = str(found)
            return found.best
        return int(asked or default_batch_size(self.classifier.device))

    def _send(
        self, plan: Plan, batch: Batch, top_labels: Callable[[Batch], Tensor | None], *, look: bool
    ) -> list[Sent]:
        was_first = self._is_first
        while True:
            try:
                parts = split(batch, self._at_once)
                return [self._sent(plan, part, top_labels(part), look=look) for part in parts]
            except torch.OutOfMemoryError as error:
                problem = str(error).partition("\n")[0]
            self._is_first = was_first
            # Out here, since the error holds what was in memory.
            self._halve(min(len(batch), self._at_once), problem)

    def _halve(self, size: int, problem: str) -> None:
        """Have fewer images computed at once from now on; raises `RobustcheckError` where they are one already."""
        if size == 1:
            raise RobustcheckError(
                f"{self.classifier.name}: {self.classifier.device} is out of memory with one image at a time "
                f"({problem}); free memory there, name another --robustcheck-device, or ask for fewer views at once"
            )
        self._at_once = (size + 1) // 2
        give_back(self.classifier.device)
        if not self._is_short:
            self._is_short = True
            self._warn(
                f"{self.classifier.device} ran out of memory with {size} images at once, and goes on with fewer. Numbers "
                "may differ in the last digits from those of whole batches; a smaller --robustcheck-batch-size saves the "
                "time that this takes"
            )

    def _sent(self, plan: Plan, batch: Batch, top_labels: Tensor | None, *, look: bool) -> Sent:
        with self.running.precision.arithmetic():
            run = self._run(plan, batch, top_labels)
            with torch.inference_mode():
                values = torch.stack([measure(run, view) for view in plan.views])  # (views, rows, n)
        first = look and self._is_first
        self._is_first &= not first
        attacks, finite = run.finite_gradients
        (values, finite), arrived = _on_its_way(values, finite)
        return Sent(batch.names, values, attacks, finite, arrived, run if first else None)

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
            self.running,
            clean,
            seed=self.how.seed,
            codec=self.how.codec,
            batch_size=self._at_once,
            other_model=self.other_model,
        )
        if plan.clean_gradient:
            run.find_clean_gradient()  # first, since it classifies the clean images on the way
        for group in plan.steps:
            run.make(group)
        return run

    def _fetched(self, plan: Plan, parts: list[Sent]) -> dict[View, Rows]:
        values = np.concatenate([self._arrived(plan, part) for part in parts], axis=2)
        return dict(zip(plan.views, map(as_rows, values), strict=True))

    def _arrived(self, plan: Plan, part: Sent) -> Column:
        if part.arrived is not None:
            part.arrived.synchronize()
        values = part.values.numpy()
        for view, rows in zip(plan.views, values, strict=True):
            self._check_finite(view, part.names, rows[0])
        self._check_gradients(part.names, part.attacks, part.finite)
        if part.first is not None:
            self._on_first(part.first)
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
                f"images of {view}, the first being {names[bad[0]]}: nothing can be said of such a model; "
                "look for overflow (half precision?), a division by zero, or damaged weights"
            )


@dataclass(frozen=True)
class Sent:
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
