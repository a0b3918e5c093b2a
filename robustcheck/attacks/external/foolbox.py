"""Foolbox (Rauber et al., arXiv 1707.04131): `foolbox:LinfPGD_8[steps=40]`."""

from __future__ import annotations

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
from robustcheck.errors import RobustcheckError


def run(request: AttackRequest, net: UnitRangeModel, images: Tensor, labels: Tensor) -> AttackResult:
    """Return the attack's images."""
    attack = _attack(request)
    model = library("foolbox", "foolbox").PyTorchModel(net, bounds=(0, 1), device=net.device)
    _, clipped, _ = attack(model, images, labels, epsilons=request.epsilon)
    return AttackResult(clipped, _norm(request, attack))


def _attack(request: AttackRequest) -> Any:
    foolbox = library("foolbox", "foolbox")
    kind = attack_class(request, "Foolbox", foolbox.attacks, foolbox.attacks.Attack)
    attack = kind(**request.options)
    _norm(request, attack)
    return attack


def _norm(request: AttackRequest, attack: Any) -> Any:
    try:
        distance = attack.distance
    except (AttributeError, ValueError):
        raise RobustcheckError(f"{request.step} has no epsilon of a norm; take one of L-inf or L2") from None
    return norm_of(request.step, getattr(distance, "p", distance))


attack: ExternalAttack = ExternalAttack(_attack, run)
