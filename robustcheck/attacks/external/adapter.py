"""What attacks of all libraries have in common: images in 0..1 in and out, and every result is checked."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustcheck.attacks.batch import AttackBatch
from robustcheck.attacks.external.protocol import AttackRequest, AttackResult, UnitRangeModel
from robustcheck.attacks.gradient_ascent import Ball
from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier
from robustcheck.models.device import is_out_of_memory
from robustcheck.notation import View

SLACK = 1e-3
"""What float arithmetic may add to epsilon, as a share of it."""


@dataclass(frozen=True)
class ExternalAttack:
    """The attacks of one library as an implementation of views: see `robustcheck.attacks.batch`.

    Epsilon in pixel levels is given to the library as epsilon / 255. Options are passed by name, numbers, true, false
    and none as such. What the library draws at random, it draws for the whole batch, from one seed.
    """

    check: Callable[[AttackRequest], object]
    """Raises `RobustcheckError` if the library is not installed, or lacks the attack or an option."""
    run: Callable[[AttackRequest, UnitRangeModel, Tensor, Tensor], AttackResult]
    """Takes request, model, images in 0..1 and the labels whose loss is maximised."""

    def validate(self, view: View) -> None:
        """Raise `RobustcheckError` if the library is not installed, or lacks the view's attack or one of its options."""
        self.check(_request(view))

    def __call__(self, batch: AttackBatch, views: Sequence[View]) -> list[Tensor]:
        """Return the images of some views, found to be within epsilon.

        Raises `RobustcheckError` that names the library if it fails, or if its result is not finite, of another shape,
        or further from the images than epsilon.
        """
        return [
            self._images(
                _request(view, batch.batch_seed(view), batch.batch_size),
                batch.classifier,
                batch.images[view.source],
                batch.labels_of(view),
            )
            for view in views
        ]

    def _images(
        self, request: AttackRequest, classifier: Classifier, images: Tensor, labels: Tensor
    ) -> Tensor:
        with _seeded(request.seed, images.device), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            try:
                result = self.run(request, UnitRangeModel(classifier), images.float() / 255, labels)
            except RobustcheckError:
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    raise  # the batch is halved
                raise RobustcheckError(f"{request.step} failed: {type(error).__name__}: {error}") from error
        return _checked(request, result, images)


def _request(view: View, seed: int = 0, batch_size: int = 32) -> AttackRequest:
    return AttackRequest(view.step, view.number, view.library_options, seed, batch_size)


def _checked(request: AttackRequest, result: AttackResult, images: Tensor) -> Tensor:
    who, levels = request.step, request.levels
    pixels = result.images.detach().to(images.device, torch.float32) * 255
    if pixels.shape != images.shape or not bool(pixels.isfinite().all()):
        raise RobustcheckError(
            f"{who} returned images of shape {tuple(pixels.shape)} for {tuple(images.shape)}, or some that are not finite"
        )
    change = (pixels.clamp(0, 255) - images).flatten(1)
    sizes = change.abs().amax(dim=1) if result.norm == "inf" else torch.linalg.vector_norm(change, dim=1)
    largest = float(sizes.max())
    if largest > levels * (1 + SLACK) + SLACK:
        raise RobustcheckError(
            f"{who} went {largest:.4g} levels (norm {result.norm}) from its images, further than epsilon {levels:g}: "
            "its result can't be used; look at the options that change its budget"
        )
    ball = Ball.around(images, levels, result.norm)
    return ball.to_bytes(ball.project(pixels))


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that libraries draw from, and restore them afterwards."""
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - it is what they use
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed % 2**63)
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002
