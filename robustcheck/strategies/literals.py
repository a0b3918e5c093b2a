"""How Hypothesis prints drawn images: as expressions that can be pasted into a test."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from hypothesis.vendor.pretty import for_type_by_name
from torch import Tensor

_MOST_RUNS = 64


def print_as_literals() -> None:
    """Have Hypothesis print every uint8 batch of images as `literal` has it; other tensors stay as they were."""
    for_type_by_name("torch", "Tensor", _print)


def literal(images: Tensor) -> str:
    """Return an expression whose value is a uint8 batch, or its shortened form where that would be too long.

    >>> literal(torch.full((1, 3, 32, 32), 7, dtype=torch.uint8))
    'torch.full((1, 3, 32, 32), 7, dtype=torch.uint8)'
    """
    shape = tuple(images.shape)
    samples = images.numpy().ravel()
    starts = np.flatnonzero(np.diff(samples.astype(np.int16), prepend=-1))
    levels, lengths = samples[starts].tolist(), np.diff(starts, append=samples.size).tolist()
    if len(levels) == 1:
        return f"torch.full({shape}, {levels[0]}, dtype=torch.uint8)"
    shown = re.sub(r"\n(?=.)", "\n      ", f"torch.{images!r}")
    if "..." not in shown or len(levels) > _MOST_RUNS:
        return shown
    runs = f"torch.tensor({levels}, dtype=torch.uint8).repeat_interleave(torch.tensor({lengths}))"
    return f"{runs}.view{shape}"


def _print(value: Any, printer: Any, _cycle: Any) -> None:
    is_batch = type(value) is Tensor and value.is_cpu and value.dtype == torch.uint8 and value.ndim == 4
    lines = (literal(value) if is_batch and value.numel() else repr(value)).splitlines()
    for number, line in enumerate(lines):
        if number:
            printer.break_()
        printer.text(line)
