"""The one place that knows where the kernels and the random cases are, and how the kernels are cut into programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import Tensor

from robustcheck.jpeg import triton as codec
from robustcheck.jpeg._kernels import code_planes, merge_planes
from robustcheck.jpeg.triton import LAUNCH, Launch
from robustcheck.jpeg.validation import qualities_of
from robustcheck.jpeg.verify import differing_samples, random_case

__all__ = [
    "LAUNCH",
    "POINTERS",
    "Launch",
    "code_launches",
    "code_planes",
    "differing_samples",
    "merge_launches",
    "merge_planes",
    "random_case",
    "roundtrip",
]

POINTERS = {
    "code_planes": {"pixels": "*u8", "planes": "*i32", "steps": "*i32", "inverses": "*fp32"},
    "merge_planes": {"luma": "*u8", "chroma": "*u8", "pixels": "*u8"},
}
"""The arguments that are tensors, and of what, as `robustcheck.jpeg.triton` passes them."""


def roundtrip(images: Tensor, quality: int, launch: Launch) -> Tensor:
    """`robustcheck.jpeg.roundtrip` by the kernels, cut in a way of one's own."""
    return codec.roundtrip(images, qualities_of(quality, len(images)), "4:2:0", launch)


def code_launches(base: Launch, *, toy: bool) -> Iterable[Launch]:
    """Ways to cut the first kernel, those near `base` first."""
    sides, warps = ((2, 4), (2,)) if toy else ((2, 4, 8), (1, 2, 4, 8))
    ways = [replace(base, side=side, code_warps=warp) for side in sides for warp in warps]
    return sorted(ways, key=lambda way: _apart(way, base))


def merge_launches(base: Launch, *, toy: bool) -> Iterable[Launch]:
    """Ways to cut the second kernel, those near `base` first."""
    rows, columns, warps = ((4,), (32, 64), (2,)) if toy else ((1, 2, 4, 8), (32, 64, 128), (1, 2, 4))
    ways = [replace(base, rows=r, columns=c, merge_warps=w) for r in rows for c in columns for w in warps]
    return sorted(ways, key=lambda way: _apart(way, base))


def _apart(way: Launch, base: Launch) -> int:
    """In how many doublings two ways differ."""
    pairs = ((getattr(way, name), getattr(base, name)) for name in Launch.__dataclass_fields__)
    return sum(abs(one.bit_length() - other.bit_length()) for one, other in pairs)
