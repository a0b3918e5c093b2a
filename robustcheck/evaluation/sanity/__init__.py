"""Whether an evaluation can be trusted: checks that hold of any sound one, whatever the model.

`examine` runs them all, and so does `pytest --robustcheck-suite=sanity`, where each is a test. What can be seen in
records that are there anyway (`warnings_of`) is said of every run.

After Athalye, Carlini, Wagner (arXiv 1802.00420), Carlini et al. (arXiv 1902.06705), and the flags of AutoAttack
(arXiv 2003.01690).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustcheck.evaluation.sanity.chance import chance_warning, too_few_to_tell
from robustcheck.evaluation.sanity.recorded import warnings_of

if TYPE_CHECKING:
    from robustcheck.evaluation.sanity.check import Check, CheckResult
    from robustcheck.evaluation.sanity.examining import CHECKS, examine
    from robustcheck.evaluation.sanity.subject import Subject

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "Subject",
    "chance_warning",
    "examine",
    "too_few_to_tell",
    "warnings_of",
]


def __getattr__(name: str) -> Any:
    """Fetch what computes when it is first used: whoever only judges records needs no torch."""
    if name in __all__:
        from robustcheck.evaluation.sanity import examining

        return getattr(examining, name)
    raise AttributeError(f"module 'robustcheck.evaluation.sanity' has no attribute {name!r}")
