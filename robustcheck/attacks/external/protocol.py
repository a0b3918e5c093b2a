"""What a library's adapter is given and returns, and how it looks up attacks and options."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from robustcheck.attacks.gradient_ascent import Norm
from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models import Classifier

_WRITE_FILES = frozenset({"log_path", "summary_writer", "tensorboard"})
"""Options of libraries' attacks that name files to write: a view is text, perhaps of a file that anyone wrote."""
_WORDS = {"true": True, "false": False, "none": None}


class UnitRangeModel(nn.Module):
    """A classifier as other libraries take it: float pixels in 0..1 in, logits out."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network: nn.Module = (
            classifier.module
        )  # so that they find its device, and see that it is in eval mode
        self.logits: Callable[[Tensor], Tensor] = classifier.logits
        self.classes: int = classifier.probe()
        self.device: torch.device = classifier.device
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images (N, 3, H, W) in 0..1; their gradient is in contiguous memory, as libraries expect."""
        pixels = images * 255
        if pixels.requires_grad:
            pixels.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]
        return self.logits(pixels)


@dataclass(frozen=True)
class AttackRequest:
    """An attack of a library."""

    step: str
    """As a view names it: `foolbox:LinfPGD`."""
    levels: float
    """Epsilon in pixel levels."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Options as they were written."""
    seed: int = 0
    batch_size: int = 32

    @property
    def attack(self) -> str:
        """The attack's name in the library."""
        return self.step.partition(":")[2]

    @property
    def epsilon(self) -> float:
        """Epsilon in units of 0..1."""
        return self.levels / 255

    @property
    def options(self) -> dict[str, Any]:
        """The options as values: numbers, true, false, none, or the text."""
        return {key: _value(text) for key, text in self.texts.items()}


@dataclass(frozen=True)
class AttackResult:
    """A library's adversarial images (N, 3, H, W) in 0..1, and the norm that its epsilon is of."""

    images: Tensor
    norm: Norm


def library(name: str, package: str) -> ModuleType:
    """Import a library; raises `RobustcheckError` that says what to install."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a library imports in its turn
            return import_module(name)
    except ImportError as error:
        raise RobustcheckError(
            f"an attack of {name} needs it installed: pip install {package} ({error}); all of them: "
            "pip install 'pytest-robustcheck[attacks,torchattacks]'"
        ) from None


def attack_class(
    request: AttackRequest, library_name: str, where: ModuleType, base: type, ours: Iterable[str] = ()
) -> Any:
    """Return a library's class of attacks; `ours` are the parameters that the view itself sets.

    Raises `RobustcheckError` for a name or an option that the library does not have, with the nearest, and for an attack
    without an epsilon.
    """
    known = {
        name: found
        for name, found in vars(where).items()
        if isinstance(found, type) and issubclass(found, base) and found is not base
    }
    if request.attack not in known:
        raise unknown(f"attack of {library_name}", request.attack, known)
    found = known[request.attack]
    if "eps" in ours and "eps" not in inspect.signature(found).parameters:
        raise RobustcheckError(
            f"{request.step} has no epsilon that it keeps to (a parameter eps), so no view can name it"
        )
    check_options(request.step, found, request.options, ours)
    return found


def check_options(
    who: str, function: Callable[..., Any], given: Iterable[str], ours: Iterable[str] = ()
) -> None:
    """Raise `RobustcheckError` for options that a library's attack does not take; `ours` are set by the view itself."""
    parameters = inspect.signature(function).parameters
    allowed = {name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD} - {"self", *ours}
    for option in given:
        if option in ours:
            raise RobustcheckError(
                f"{who} gets {option} from the view: it is written behind the name, as in {who}_8"
            )
        if option in _WRITE_FILES:
            raise RobustcheckError(
                f"{who} would write files by its option {option}, which no view may: leave it out"
            )
        if option not in allowed:
            raise unknown(f"option of {who}", option, allowed)


def norm_of(who: str, norm: object) -> Norm:
    """Return which of our two norms a library means; raises `RobustcheckError` for another."""
    if str(norm).lower() in {"inf", "linf"}:
        return "inf"
    if str(norm).lower() in {"2", "2.0", "l2"}:
        return "2"
    raise RobustcheckError(f"{who} has an epsilon in norm {norm}; views know L-inf and L2")


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]*\.?[0-9]+(e-?[0-9]+)?", text) else text
