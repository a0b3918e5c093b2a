"""Attacking through defences: backward pass differentiable approximation (BPDA) and expectation over what is random.

After Athalye, Carlini, Wagner (arXiv 1802.00420); the expectation is `Objective`'s, over draws by other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from robustcheck.attacks import DifferentiableDefence
from robustcheck.attacks.seeds import mixed_seeds
from robustcheck.notation import ThroughStep, load
from robustcheck.transforms.transform import TransformCall, TransformFunction


def through_defence(steps: Sequence[ThroughStep]) -> DifferentiableDefence:
    """Return the defences of an attack's option `through`, one after the other, as one differentiable function."""
    transforms: list[TransformFunction] = [load(step.view.declared.implementation) for step in steps]

    def defend(pixels: Tensor, seeds: Sequence[int]) -> Tensor:
        for number, (step, transform) in enumerate(zip(steps, transforms, strict=True)):
            call = TransformCall(step.view, mixed_seeds(seeds, number), step.gradient)
            pixels = transform(pixels, call)
        return pixels

    return defend
