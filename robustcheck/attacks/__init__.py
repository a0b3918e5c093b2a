"""Attacks: images in, images out, both uint8; epsilon in pixel levels. A file for each, and what they share.

`fgs`, `pgd`, `apgd` and `square` are the functions; views such as `Adv_1` run the same code, through the rows of `robustcheck.notation`.
"""

from robustcheck.attacks.apgd import apgd
from robustcheck.attacks.fgs import fgs
from robustcheck.attacks.gradient import Gradient, HasLogits, loss_gradient
from robustcheck.attacks.gradient_ascent import Ball, gradient_ascent
from robustcheck.attacks.objective import DifferentiableDefence, Ensemble, Objective, transfer_from
from robustcheck.attacks.pgd import pgd
from robustcheck.attacks.restarts import best_restart
from robustcheck.attacks.square import square

__all__ = [
    "Ball",
    "DifferentiableDefence",
    "Ensemble",
    "Gradient",
    "HasLogits",
    "Objective",
    "apgd",
    "best_restart",
    "fgs",
    "gradient_ascent",
    "loss_gradient",
    "pgd",
    "square",
    "transfer_from",
]
