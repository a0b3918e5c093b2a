"""From views to records: what to compute, computing it batch by batch, and whether to trust it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustcheck.evaluation.engine import Evaluation, evaluate
    from robustcheck.evaluation.looking import Look

__all__ = ["Evaluation", "Look", "evaluate"]


def __getattr__(name: str) -> Any:
    """Fetch what computes when it is first used: whoever only judges records needs no torch."""
    if name in __all__:
        module = "looking" if name == "Look" else "engine"
        return getattr(import_module(f"robustcheck.evaluation.{module}"), name)
    raise AttributeError(f"module 'robustcheck.evaluation' has no attribute {name!r}")
