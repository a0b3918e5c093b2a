"""Speed that a repository can gate on, on top of pytest-benchmark: true on CUDA, in images per second, in turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustcheck.benchmark.fixture import Benchmark
    from robustcheck.benchmark.ratio import Ratio

__all__ = ["Benchmark", "Ratio"]


def __getattr__(name: str) -> Any:
    """Fetch what measures when it is first used: every pytest run imports the hooks beside it."""
    if name == "Benchmark":
        from robustcheck.benchmark.fixture import Benchmark

        return Benchmark
    if name == "Ratio":
        from robustcheck.benchmark.ratio import Ratio

        return Ratio
    raise AttributeError(f"module 'robustcheck.benchmark' has no attribute {name!r}")
