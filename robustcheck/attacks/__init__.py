"""Attacks: images in, images out, both uint8; epsilon in pixel levels. A file for each, and what they share.

`fgs` and `pgd` are the functions; views such as `Adv_1` run the same code, through the rows of `robustcheck.notation`.
"""

from robustcheck.attacks.fgs import fgs
from robustcheck.attacks.gradient import Gradient, HasLogits, loss_gradient
from robustcheck.attacks.gradient_ascent import Ball, gradient_ascent
from robustcheck.attacks.objective import DifferentiableDefence, Objective, transfer_from
from robustcheck.attacks.pgd import best_restart, pgd

__all__ = [
    "Ball",
    "DifferentiableDefence",
    "Gradient",
    "HasLogits",
    "Objective",
    "best_restart",
    "fgs",
    "gradient_ascent",
    "loss_gradient",
    "pgd",
    "transfer_from",
]
