"""Attacks: images in, images out, both uint8; epsilon in pixel levels."""

from robustcheck.attacks.fgs import fgs
from robustcheck.attacks.gradient import Gradient, loss_gradient
from robustcheck.attacks.noise import permuted_noise, random_signs

__all__ = ["Gradient", "fgs", "loss_gradient", "permuted_noise", "random_signs"]
