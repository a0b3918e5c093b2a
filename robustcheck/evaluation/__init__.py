"""From views to records: what to compute, computing it batch by batch, and whether to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustcheck.evaluation.engine import Evaluation, Look, evaluate

__all__ = ["Evaluation", "Look", "evaluate"]


def __getattr__(name: str) -> Any:
    """Fetch what computes when it is first used: whoever only judges records needs no torch."""
    if name in __all__:
        from robustcheck.evaluation import engine

        return getattr(engine, name)
    raise AttributeError(f"module 'robustcheck.evaluation' has no attribute {name!r}")
