"""Speed that a repository can gate on, on top of pytest-benchmark: true on CUDA, in images per second, in turns."""

from __future__ import annotations

from robustcheck.benchmark.ratio import Ratio

__all__ = ["Ratio"]
