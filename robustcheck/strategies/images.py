"""Batches of images on which image code fails: saturated, odd, steep, bright, flat, asymmetric.

Every image is made from the same bytes: a pattern, two colours and a place. So Hypothesis can exchange one pattern for a
simpler one and keep the rest; and as every pattern stays between its colours, lowering a colour looks for the darkest
image that fails. All in one draw is fast, evenly distributed (integers are mostly small), and spares Hypothesis'
mutations, which copy one colour over the other.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from robustcheck.strategies.arguments import check_samples, drawn, height_and_width, integer

Size: TypeAlias = "int | tuple[int, int]"
Pixels: TypeAlias = "NDArray[np.uint8]"  # (3, H, W), or (3, 1, 1) for a colour

_RECIPE = st.binary(min_size=12, max_size=12)  # pattern, kinds of colours, two colours, place


@st.composite
def images(
    draw: st.DrawFn, size: Size | st.SearchStrategy[Size] = 32, count: int | st.SearchStrategy[int] = 1
) -> Tensor:
    """Batches of images: uint8 (count, 3, H, W), RGB, 0..255, contiguous, on the CPU.

    Half of the colours are saturated or grey. Images are flat, have one pixel or one block of another colour, stripes,
    checkers, ramps in any direction, all levels in order, or noise of two or of all levels between two colours. Each of
    these is drawn many times in 100 examples; docs/property-tests.md has the faults that are found so.

    Args:
        size: an integer for squares, (height, width), or a strategy of either. Faults of padding need odd sides.
        count: images in a batch, an integer or a strategy. Faults across images need two or more.

    Raises:
        RobustcheckError: at the first example, for a size or count that is not an integer >= 1, or a batch of more than 256 MiB.
    """
    height, width = height_and_width(drawn(draw, size))
    number = integer("count", drawn(draw, count), 1)
    check_samples(number, height, width)
    return torch.from_numpy(np.stack([_image(draw, height, width) for _ in range(number)]))


def _image(draw: st.DrawFn, height: int, width: int) -> Pixels:
    recipe = draw(_RECIPE)
    pattern, kinds = _PATTERNS[recipe[0] % len(_PATTERNS)], _COLOURS[recipe[1] % len(_COLOURS)]
    # The background is the first to be lowered, so that what fails is left in the colour, which flat images have.
    background, colour = kinds[1](recipe[2:5]), kinds[0](recipe[5:8])
    made = pattern(colour, background, int.from_bytes(recipe[8:], "big"), height, width)
    return np.broadcast_to(made, (3, height, width))


def _any(recipe: bytes) -> Pixels:
    return np.frombuffer(recipe, dtype=np.uint8).reshape(3, 1, 1)


def _grey(recipe: bytes) -> Pixels:
    return np.full((3, 1, 1), recipe[2], dtype=np.uint8)


def _corner(recipe: bytes) -> Pixels:
    """One of the eight corners of the RGB cube."""
    return np.where(_any(recipe) >= 128, 255, 0).astype(np.uint8)


_COLOURS = (
    (_any, _any), (_corner, _corner), (_any, _corner), (_corner, _any),
    (_any, _any), (_corner, _corner), (_grey, _grey), (_grey, _corner),
)  # fmt: skip


# The patterns, the simplest first: colour and background (3, 1, 1) -> something that broadcasts to (3, H, W).


def _flat(colour: Pixels, _background: Pixels, _place: int, _height: int, _width: int) -> Pixels:
    return colour


def _pixel(colour: Pixels, background: Pixels, place: int, height: int, width: int) -> Pixels:
    row, column = _position(place, height, width)
    return _where((np.arange(height)[:, None] == row) & (np.arange(width) == column), colour, background)


def _block(colour: Pixels, background: Pixels, place: int, height: int, width: int) -> Pixels:
    row, column = _position(place, height, width)
    return _where((np.arange(height)[:, None] >= row) & (np.arange(width) >= column), colour, background)


def _stripes(colour: Pixels, background: Pixels, place: int, height: int, width: int) -> Pixels:
    along_rows, along_columns = ((1, 0), (0, 1), (1, 1))[place % 3]
    side = 1 + place // 3 % 8
    rows, columns = np.arange(height)[:, None] // side, np.arange(width) // side
    return _where((along_rows * rows + along_columns * columns) % 2 == 0, colour, background)


def _ramp(colour: Pixels, background: Pixels, place: int, height: int, width: int) -> Pixels:
    down, right = ((1, 0), (0, 1), (1, 1), (1, -1))[place % 4]
    distance = down * np.arange(height)[:, None] + right * np.arange(width)
    distance = distance - distance.min()
    share = np.linspace(0, 1, int(distance.max()) + 1)
    levels = (background[:, 0] + (colour[:, 0].astype(np.int16) - background[:, 0]) * share).round()
    along: Pixels = np.take(levels.astype(np.uint8), distance, axis=1)
    return along


def _levels(colour: Pixels, background: Pixels, place: int, height: int, width: int) -> Pixels:
    low, span = _range(colour, background)
    size = height * width
    starts = [place % 256 + channel * size for channel in range(3)]
    cycles = [np.roll(np.arange(each), -start) for each, start in zip(span.flat, starts, strict=True)]
    order = np.stack([np.tile(cycle.astype(np.uint8), size // len(cycle) + 1)[:size] for cycle in cycles])
    levels: Pixels = low + order.reshape(3, height, width)
    return levels


def _two_levels(colour: Pixels, background: Pixels, place: int, height: int, width: int) -> Pixels:
    return _where(_bytes(place, height, width) >= 128, colour, background)


def _noise(colour: Pixels, background: Pixels, place: int, height: int, width: int) -> Pixels:
    low, span = _range(colour, background)
    return (low + (_bytes(place, height, width) * span >> 8)).astype(np.uint8)


_PATTERNS = (_flat, _pixel, _block, _stripes, _ramp, _levels, _two_levels, _noise)


def _position(place: int, height: int, width: int) -> tuple[int, int]:
    return divmod(place % (height * width), width)


def _where(condition: NDArray[np.bool_], colour: Pixels, background: Pixels) -> Pixels:
    # Modulo 256; faster than np.where.
    chosen: Pixels = condition.astype(np.uint8) * (colour - background) + background
    return chosen


def _range(colour: Pixels, background: Pixels) -> tuple[Pixels, NDArray[np.uint16]]:
    """Return the lower level of each channel, and how many there are up to the higher."""
    low: Pixels = np.minimum(colour, background)
    span: NDArray[np.uint16] = np.maximum(colour, background).astype(np.uint16) - low + 1
    return low, span


def _bytes(seed: int, height: int, width: int) -> Pixels:
    flat = np.frombuffer(np.random.default_rng(seed).bytes(3 * height * width), dtype=np.uint8)
    return flat.reshape(3, height, width)
