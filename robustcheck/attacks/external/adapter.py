"""What all libraries' attacks have in common: 0..1 in and out, and nothing believed that can be checked."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from torch import Tensor

from robustcheck.attacks.external import art, autoattack, foolbox, torchattacks
from robustcheck.attacks.external.protocol import Found, Request, UnitPixels
from robustcheck.attacks.gradient_ascent import Ball, Norm
from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier

SLACK = 1e-3
"""What float arithmetic may add to epsilon, as a share of it."""


@dataclass(frozen=True)
class Library:
    """How a library is asked: to look an attack and its options up, and to run it."""

    distributions: tuple[str, ...]
    """What it is installed as: the first of these that is."""
    check: Callable[[Request], None]
    run: Callable[[Request, UnitPixels, Tensor, Tensor], Found]


LIBRARIES: Mapping[str, Library] = {
    module.NAME: Library(module.DISTRIBUTIONS, module.check, module.run)
    for module in (art, autoattack, foolbox, torchattacks)
}


def check_attack(library: str, attack: str, options: Mapping[str, str]) -> None:
    """Raise `RobustcheckError` for a library that is not installed, or an attack or option that it does not have."""
    LIBRARIES[library].check(Request(attack, 1 / 255, options))


def version_of(library: str) -> str:
    """Return the name and version that a library is installed as, for reports."""
    for distribution in LIBRARIES[library].distributions:
        with suppress(PackageNotFoundError):
            return f"{distribution} {version(distribution)}"
    return f"{library}, of an unknown version"


def attack_by(
    library: str,
    attack: str,
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    options: Mapping[str, str],
    seed: int,
    batch_size: int,
) -> Tensor:
    """Return what a library's attack makes of images: uint8 (N, 3, H, W), and found to be within epsilon.

    `epsilon` is in pixel levels; the library is given epsilon / 255 and images in 0..1. `labels` are those to
    get away from. `options` are passed by name, numbers, true, false and none as such. What the library draws
    at random, it draws for the whole batch from `seed`.

    Raises `RobustcheckError` that names the library where it fails, and where its result is not finite, of
    another shape, or further from the images than epsilon.
    """
    who = f"{library}:{attack}" if attack else library
    request = Request(attack, epsilon / 255, options, seed, batch_size)
    with _seeded(seed, images.device), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        try:
            found = LIBRARIES[library].run(request, UnitPixels(classifier), images.float() / 255, labels)
        except (RobustcheckError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise RobustcheckError(f"{who} failed: {type(error).__name__}: {error}") from error
    return _checked(who, found, images, epsilon)


def _checked(who: str, found: Found, images: Tensor, epsilon: float) -> Tensor:
    pixels = found.images.detach().to(images.device, torch.float32) * 255
    if pixels.shape != images.shape or not bool(pixels.isfinite().all()):
        raise RobustcheckError(
            f"{who} returned images of shape {tuple(pixels.shape)} for {tuple(images.shape)}, or some that are not finite"
        )
    norm: Norm = found.norm
    ball = Ball(images, torch.full((len(images),), float(epsilon), device=images.device), norm)
    change = (pixels.clamp(0, 255) - images).flatten(1)
    sizes = change.abs().amax(dim=1) if norm == "inf" else torch.linalg.vector_norm(change, dim=1)
    largest = float(sizes.max())
    if largest > epsilon * (1 + SLACK) + SLACK:
        raise RobustcheckError(
            f"{who} went {largest:.4g} levels (norm {norm}) from its images, further than epsilon {epsilon:g}: its "
            "result can't be used; look at the options that change its budget"
        )
    return ball.to_bytes(ball.project(pixels))


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Give libraries that draw from the global generators their own start, and put everybody else's back."""
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
