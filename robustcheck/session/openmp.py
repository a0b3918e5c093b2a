"""How long torch's idle OpenMP threads spin: long spinning is what makes a run crawl on cores that others use, too.

libgomp reads the environment once, when torch is loaded, so that it has to be set before any conftest imports torch.
"""

from __future__ import annotations

import os
import sys

import pytest

from robustcheck.options.table import Settings
from robustcheck.options.types import spin_count

ADVICE = pytest.StashKey[str]()
_SET_BY_USERS = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")
"""Environment variables that say how threads wait. Where one of them is set, nothing is changed."""


def limit_spinning(config: pytest.Config) -> str:
    """Set the count that option and ini key ask for, also for processes that this one starts; return advice, or "".

    Where torch is loaded already nothing would change: the advice says what to set.
    """
    text = getattr(config.known_args_namespace, "robustcheck_spin_count", None)
    written = text or config.getini("robustcheck_spin_count")
    try:
        count = spin_count(str(written)) if written else Settings.spin_count
    except ValueError:
        return ""  # `Settings.of` says what is wrong with it
    if count is None or any(name in os.environ for name in _SET_BY_USERS):
        return ""
    if "torch" in sys.modules:
        return (
            "torch was loaded before pytest read its options, so its idle threads spin: where other work shares the "
            f"cores, set GOMP_SPINCOUNT={count} in the environment"
        )
    os.environ["GOMP_SPINCOUNT"] = str(count)
    return ""
