"""AutoAttack (Croce, Hein, arXiv 2003.01690): `autoattack_8`, `autoattack_8[attacks=apgd-ce+square]`.

By the authors' package `autoattack` where it is installed (it is not on PyPI), else by `pyautoattack`, which is.
"""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from robustcheck.attacks.external.adapter import ExternalAttack
from robustcheck.attacks.external.protocol import (
    AttackRequest,
    AttackResult,
    UnitRangeModel,
    check_options,
    library,
    norm_of,
)
from robustcheck.errors import RobustcheckError

_OURS = ("model", "eps", "device", "seed", "verbose", "log_path", "is_tf_model")
_LIST = {"autoattack": "attacks_to_run", "pyautoattack": "attacks"}
"""By package: what it calls the list of attacks, which a view writes as `attacks=A+B`."""
_LEAST_CLASSES = {"apgd-t": 4, "apgd-dlr": 3}
"""The difference-of-logits-ratio loss divides by the gap to the third class, targeted to the fourth."""


def _check(request: AttackRequest) -> None:
    """Raise `RobustcheckError` where AutoAttack is not installed, or has no such option."""
    package, kind = _package()
    given = {"norm" if key == "attacks" else key: None for key in request.options}
    check_options("autoattack", kind, given, (*_OURS, _LIST[package]))


def run(request: AttackRequest, net: UnitRangeModel, images: Tensor, labels: Tensor) -> AttackResult:
    """Return the ensemble's images."""
    package, kind = _package()
    options = request.options
    attacks = options.pop("attacks", None)
    if attacks is not None:
        options |= {_LIST[package]: str(attacks).split("+"), "version": "custom"}
    if "verbose" in inspect.signature(kind).parameters:
        options["verbose"] = False
    attack = kind(net, eps=request.epsilon, device=net.device, seed=request.seed % 2**31, **options)
    attack.verbose = False
    _fit_classes(request, attack, net.classes)
    evaluate = attack.run_standard_evaluation
    size = "batch_size" if "batch_size" in inspect.signature(evaluate).parameters else "bs"
    found = evaluate(images, labels, **{size: request.batch_size})
    images = found[0] if isinstance(found, tuple) else found
    return AttackResult(images, norm_of("autoattack", options.get("norm", "Linf")))


def _fit_classes(request: AttackRequest, attack: Any, classes: int) -> None:
    """Have targeted attacks aim at no more classes than there are; raises `RobustcheckError` for one that needs more."""
    asked = attack.attacks_to_run or []
    if lacking := [name for name in asked if classes < _LEAST_CLASSES.get(name, 2)]:
        fitting = "+".join(name for name in asked if name not in lacking) or "apgd-ce+fab-t+square"
        raise RobustcheckError(
            f"{' and '.join(lacking)} of autoattack needs at least {_LEAST_CLASSES[lacking[0]]} classes, and this "
            f"model has {classes}: name attacks that don't, autoattack_{request.levels:g}[attacks={fitting}]"
        )
    for part in (attack.apgd_targeted, attack.fab):
        part.n_target_classes = min(part.n_target_classes, classes - 1)


def _package() -> tuple[str, Any]:
    package = "autoattack" if find_spec("autoattack") else "pyautoattack"
    return package, library(package, "pyautoattack").AutoAttack


attack: ExternalAttack = ExternalAttack(_check, run)
