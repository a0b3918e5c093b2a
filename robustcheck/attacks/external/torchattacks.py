"""torchattacks (Kim, arXiv 2010.01950): `torchattacks:PGD_8[steps=10,alpha=0.01]`."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor

from robustcheck.attacks.external.adapter import ExternalAttack
from robustcheck.attacks.external.protocol import (
    AttackRequest,
    AttackResult,
    UnitRangeModel,
    attack_class,
    library,
    norm_of,
)

_OURS = ("model", "eps")


def run(request: AttackRequest, net: UnitRangeModel, images: Tensor, labels: Tensor) -> AttackResult:
    """Return the attack's images."""
    kind = _kind(request)
    options = request.options
    if "n_classes" in inspect.signature(kind).parameters:
        options.setdefault("n_classes", net.classes)
    attack = kind(net, eps=request.epsilon, **options)
    return AttackResult(attack(images, labels), norm_of(request.step, _norm(kind, options)))


def _kind(request: AttackRequest) -> Any:
    torchattacks = library("torchattacks", "torchattacks")
    kind = attack_class(request, "torchattacks", torchattacks, torchattacks.attack.Attack, _OURS)
    norm_of(request.step, _norm(kind, request.options))
    return kind


def _norm(kind: Any, options: dict[str, Any]) -> object:
    """Return the norm: an option of some attacks, in the name of others, and else L-inf."""
    parameter = inspect.signature(kind).parameters.get("norm")
    if parameter is not None:
        return options.get("norm", parameter.default)
    return "L2" if kind.__name__.endswith("L2") else "Linf"


attack: ExternalAttack = ExternalAttack(_kind, run)
