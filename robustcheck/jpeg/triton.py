"""The round trip in Triton for CUDA: bytes in, bytes out, and nothing between but the coded planes.

The planes are as large as the coded samples, at 4:2:0 half the batch. The arithmetic has been checked bit for
bit in Triton's interpreter; `tests/gpu/test_jpeg.py` checks it on a device.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

import robustcheck
from robustcheck.jpeg._kernels import VERSION, code_planes, merge_planes
from robustcheck.jpeg.tables import chroma_factors, quantiser_steps, reciprocals
from robustcheck.models.device import send


@dataclass(frozen=True)
class Launch:
    """How work is cut into programs: speed depends on it, pixels do not. Each field is a power of two."""

    side: int = 4
    """A program of `code_planes` takes side x side blocks,"""
    code_warps: int = 2
    """in so many warps."""
    rows: int = 4
    """A program of `merge_planes` takes so many rows"""
    columns: int = 64
    """of so many chroma samples,"""
    merge_warps: int = 2
    """in so many warps."""


LAUNCH = Launch()
"""Step (g) of `python -m tests.gpu` compares it with others on the device at hand."""


def interpreted() -> bool:
    """Whether Triton runs its kernels in its interpreter, on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def unsupported_reason(device: torch.device) -> str | None:
    """Why the kernels can't run on `device`, or None if they can."""
    if find_spec("triton") is None:
        return "the package triton is not installed"
    if interpreted():
        return None if device.type == "cpu" else f"TRITON_INTERPRET=1 takes CPU tensors, not {device.type}"
    if device.type != "cuda":
        return f"the images are on {device.type}"
    return None


def library() -> str:
    """Our own version and Triton's."""
    return f"robustcheck {robustcheck.__version__}'s triton codec (triton {VERSION})"


def roundtrip(images: Tensor, qualities: Tensor, subsampling: str, launch: Launch = LAUNCH) -> Tensor:
    """Take uint8 `images` (N, 3, H, W) through JPEG at `qualities` (N,)."""
    steps = quantiser_steps(qualities)
    across, down = chroma_factors(subsampling)
    tables = send(steps, images.device), send(reciprocals(steps), images.device)
    result = torch.empty(images.shape, dtype=torch.uint8, device=images.device)
    with _on(images.device):
        luma = _coded(images, tables, (1, 1), launch, components=1)
        chroma = _coded(images, tables, (across, down), launch, components=2)
        _merge(luma, chroma, result, (across, down), launch)
    return result


def _on(device: torch.device) -> AbstractContextManager[object]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _coded(
    images: Tensor, tables: tuple[Tensor, Tensor], factors: tuple[int, int], launch: Launch, components: int
) -> Tensor:
    """The coded luma, or both coded chroma, as bytes (N, components, rows, columns) of whole blocks."""
    across, down = factors
    n, _, height, width = images.shape
    high, wide = -(-height // (8 * down)), -(-width // (8 * across))
    planes = torch.empty((n, components, 8 * high, 2 * wide), dtype=torch.int32, device=images.device)
    tiles_high, tiles_wide = -(-high // launch.side), -(-wide // launch.side)
    code_planes[n * tiles_high * tiles_wide, components](
        images, planes, *tables, tiles_high, tiles_wide, high, wide, width, height, *images.stride(),
        ACROSS=across, DOWN=down, LUMA=components == 1, SIDE=launch.side,
        num_warps=launch.code_warps, enable_fp_fusion=False,
    )  # fmt: skip
    return planes.view(torch.uint8)


def _merge(luma: Tensor, chroma: Tensor, result: Tensor, factors: tuple[int, int], launch: Launch) -> None:
    across, down = factors
    n, _, height, width = result.shape
    fancy = across == 2 and -(-width // across) > 2
    tiles_high = -(-height // launch.rows)
    merge_planes[n * tiles_high, -(-width // (across * launch.columns))](
        luma, chroma, result, tiles_high, width, height,
        luma.stride(2), luma.stride(1), chroma.stride(2), chroma.stride(1),
        ACROSS=across, DOWN=down, FANCY=fancy, ROWS=launch.rows, COLUMNS=launch.columns,
        num_warps=launch.merge_warps, enable_fp_fusion=False,
    )  # fmt: skip
