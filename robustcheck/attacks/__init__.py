"""Attacks: images in, images out, both uint8; epsilon in pixel levels."""

from robustcheck.attacks.fgs import fgs
from robustcheck.attacks.gradient import Gradient, HasLogits, loss_gradient
from robustcheck.attacks.gradient_ascent import Ball, ascend
from robustcheck.attacks.noise import permuted_noise, random_signs
from robustcheck.attacks.objective import Objective, Passage, transfer_from
from robustcheck.attacks.pgd import pgd, strongest

__all__ = [
    "Ball",
    "Gradient",
    "HasLogits",
    "Objective",
    "Passage",
    "ascend",
    "fgs",
    "loss_gradient",
    "permuted_noise",
    "pgd",
    "random_signs",
    "strongest",
    "transfer_from",
]
