"""Warnings about a model, its attacks or its labels, from what an evaluation computes anyway; each is given once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from robustcheck.claims.record_warnings import warnings_of
from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.batch_state import BatchState
from robustcheck.notation import X
from robustcheck.records import Records
from robustcheck.user_code import warn

AGREE = 1e-3
"""How far two logits may differ that should be equal, as a share of their spread: float32 and other batch sizes."""
MOST_ZEROS = 0.5
"""Share of exact zeros in an image's gradient; a network that looks at all of the image has next to none."""


class Diagnostics:
    """The warnings about one model."""

    def __init__(self, name: str) -> None:
        self.of_first_batch: list[str] = []
        """Warnings about the first batch, of this run or of the one whose records were reused."""
        self._name = name
        self._given: set[str] = set()

    @property
    def others(self) -> tuple[str, ...]:
        """Warnings that are not about the first batch."""
        return tuple(sorted(self._given - {*self.of_first_batch}))

    def warn(self, text: str) -> None:
        """Warn, unless that was done before."""
        if text not in self._given:
            self._given.add(text)
            warn(f"{self._name}: {text}")

    def warn_of_first_batch(self, texts: Iterable[str]) -> None:
        """Warn of what a first batch has shown."""
        for text in texts:
            if text not in self.of_first_batch:
                self.of_first_batch.append(text)
            self.warn(text)

    def check_first_batch(self, batch: BatchState) -> None:
        """Warn of what the first batch shows to be wrong with the model."""
        self.warn_of_first_batch(_first_batch_warnings(batch))

    def check_records(self, records: Records, classes: int | None) -> None:
        """Warn of what the records of a whole image set show to be wrong with attacks and labels."""
        for warning in warnings_of(records, classes):
            self.warn(warning)


def _first_batch_warnings(batch: BatchState) -> Iterator[str]:
    """Yield what is wrong with the logits or gradients of a batch; one image is classified a second time, alone."""
    if X not in batch.logits:
        return
    logits = batch.logits[X]
    if not bool(logits.isfinite().all()):
        return  # an error of its own
    if looks_like_probabilities(logits):
        yield (
            "it returns probabilities, not logits (every row lies in 0..1 and adds up to 1): p(top) is that of a "
            "softmax on top of a softmax, and gradients vanish; leave out the model's own softmax"
        )
    try:
        alone = batch.logits_of(batch.images[X][:1])
    except RobustcheckError as error:
        yield f"it fails on an image alone, so an image depends on its batch ({error})"
    else:
        if (apart := difference(logits[:1], alone)) > AGREE:
            yield (
                f"an image classified a second time, alone, gave logits that differ by {apart:.2g} of their spread: the "
                "model draws at random, or an image depends on its batch; one evaluation says little of it"
            )
    signs = batch.clean_direction
    if signs is not None and (zeros := zero_share(signs)) > MOST_ZEROS:
        yield (
            f"{zeros:.0%} of the gradient of an image is exactly zero: attacks have little to follow, and whatever "
            "withstands them has shown nothing (saturated outputs? rounding or no_grad inside?)"
        )


def looks_like_probabilities(logits: Tensor) -> bool:
    """Whether every row lies in 0..1 and adds up to 1: (n, classes)."""
    inside = bool(((logits >= 0) & (logits <= 1 + 1e-6)).all())
    return inside and bool(((logits.sum(dim=1) - 1).abs() < 1e-3).all())


def difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference between two batches of logits, as a share of the mean spread of a row."""
    spread = float((one.amax(dim=1) - one.amin(dim=1)).mean()) or 1.0
    return float((one - other).abs().max()) / spread


def zero_share(values: Tensor) -> float:
    """Return the largest share of exact zeros in an image's gradient, (n, 3, H, W)."""
    return float((values == 0).flatten(1).double().mean(dim=1).max())
