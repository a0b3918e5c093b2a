"""The Adversarial Robustness Toolbox (Nicolae et al., arXiv 1807.01069): `art:ProjectedGradientDescent_8[max_iter=20]`."""

from __future__ import annotations

import inspect
from typing import Any

import torch
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
from robustcheck.attacks.pgd import TOTAL_STEP_RATIO

_PACKAGE = "adversarial-robustness-toolbox"
_OURS = ("estimator", "classifier", "eps")


def run(request: AttackRequest, net: UnitRangeModel, images: Tensor, labels: Tensor) -> AttackResult:
    """Return the attack's images; ART works in numpy."""
    estimators = library("art.estimators.classification", _PACKAGE)
    estimator = estimators.PyTorchClassifier(
        model=net,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=tuple(images.shape[1:]),
        nb_classes=net.classes,
        clip_values=(0.0, 1.0),
        device_type="gpu" if net.device.type == "cuda" else "cpu",
    )
    kind = _kind(request)
    attack = kind(estimator, eps=request.epsilon, **_completed(request, kind))
    found = attack.generate(x=images.cpu().numpy(), y=labels.cpu().numpy())
    norm = norm_of(request.step, getattr(attack, "norm", "inf"))
    return AttackResult(torch.from_numpy(found), norm)


def _kind(request: AttackRequest) -> Any:
    evasion = library("art.attacks.evasion", _PACKAGE)
    base = library("art.attacks", _PACKAGE).EvasionAttack
    return attack_class(request, "ART", evasion, base, _OURS)


def _completed(request: AttackRequest, kind: Any) -> dict[str, Any]:
    """Return the options, with those that ART's own defaults would make useless here.

    Its step size of 0.1 is larger than most epsilons, which it refuses; its progress bars are no log's.
    """
    options, parameters = request.options, inspect.signature(kind).parameters
    if "verbose" in parameters:
        options.setdefault("verbose", False)
    if "batch_size" in parameters:
        options.setdefault("batch_size", request.batch_size)
    if "eps_step" in parameters:
        steps = options.get("max_iter", getattr(parameters.get("max_iter"), "default", 1)) or 1
        options.setdefault("eps_step", request.epsilon * min(1.0, TOTAL_STEP_RATIO / steps))
    return options


attack: ExternalAttack = ExternalAttack(_kind, run)
