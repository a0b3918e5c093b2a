"""Hypothesis strategies: images, views and perturbations, for a repository's own property tests.

    from hypothesis import given
    from robustcheck.strategies import images, perturbations

    @given(images(size=16).flatmap(lambda batch: perturbations(batch, epsilon=2)))
    def test_preprocessing_gives_finite_numbers(batch):
        assert torch.isfinite(preprocess(batch)).all()

Examples shrink to the simplest image that still fails: one image, black, flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from robustcheck.errors import RobustcheckError
from robustcheck.notation import STEPS, NotationError, View, X, parse
from robustcheck.notation.options import Choice, Flag

try:
    from hypothesis import strategies as st
except ModuleNotFoundError:
    raise RobustcheckError(
        "robustcheck.strategies needs Hypothesis: pip install 'pytest-robustcheck[hypothesis]'"
    ) from None

Size: TypeAlias = "int | tuple[int, int]"
Pixels: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"  # (3, H, W)

_LEVEL = st.integers(0, 255)
_SEED = st.integers(0, 2**32 - 1)
_LARGEST_AMOUNT = 16
"""The largest amount drawn for a step whose amount has no default."""


def epsilons(low: int = 1, high: int = 16) -> st.SearchStrategy[int]:
    """Sizes of perturbations in pixel levels: integers from 1 to 255."""
    if not 1 <= low <= high <= 255:
        raise RobustcheckError(
            f"epsilons must satisfy 1 <= low <= high <= 255 (pixel levels), got low {low} and high {high}"
        )
    return st.integers(low, high)


@st.composite
def images(
    draw: st.DrawFn, size: Size | st.SearchStrategy[Size] = 32, count: int | st.SearchStrategy[int] = 1
) -> Tensor:
    """Batches of images: uint8 (count, 3, H, W), RGB, 0..255.

    `size` is one integer, (height, width), or a strategy of these; `count` an integer or a strategy. Images are
    flat, two-coloured with a border, ramps, checkers, all levels in order, or noise, dark, light or over the whole
    range: inputs on which resizing, rounding, clipping and colour conversion fail.
    """
    given: Any = draw(size) if isinstance(size, st.SearchStrategy) else size
    height, width = (given, given) if isinstance(given, int) else given
    number = draw(count) if isinstance(count, st.SearchStrategy) else count
    if min(height, width, number) < 1:
        raise RobustcheckError(f"size and count must be >= 1, got size {given!r} and count {number}")
    made = [draw(st.sampled_from(_KINDS))(draw, height, width) for _ in range(number)]
    return torch.from_numpy(np.stack(made))


@st.composite
def perturbations(
    draw: st.DrawFn, images: Tensor | st.SearchStrategy[Tensor], epsilon: int | st.SearchStrategy[int]
) -> Tensor:
    """Images within `epsilon` levels of given ones in each pixel: uint8 of the same shape.

    `images` is uint8 (N, 3, H, W), or a strategy of such; `epsilon` is an integer, or a strategy. Changes are
    uniform, random signs, single pixels, or random levels; none leaves 0..255.
    """
    clean: Any = draw(images) if isinstance(images, st.SearchStrategy) else images
    limit = draw(epsilon) if isinstance(epsilon, st.SearchStrategy) else epsilon
    if not isinstance(clean, Tensor) or clean.dtype != torch.uint8 or clean.ndim != 4:
        kind = f"{clean.dtype} {tuple(clean.shape)}" if isinstance(clean, Tensor) else type(clean).__name__
        raise RobustcheckError(f"images must be uint8 (N, 3, H, W), got {kind}")
    if not 0 <= limit <= 255:
        raise RobustcheckError(f"epsilon must be from 0 to 255 (pixel levels), got {limit}")
    change = draw(st.sampled_from(_CHANGES))(draw, tuple(clean.shape), limit)
    return (clean.to(torch.int16) + torch.from_numpy(change)).clamp(0, 255).to(torch.uint8)


def views(*, steps: Sequence[str] | None = None, deepest: int = 3) -> st.SearchStrategy[View]:
    """Views in the notation, of up to `deepest` nested steps: `x`, `Adv_5`, `JPG_50(Noise_2(Adv_1))`.

    They are made from the registered steps that take one view, or those of them that `steps` names.
    `str(view)` is the text.
    """
    simple = [name for name, step in STEPS.items() if step.kind != "selection" and not step.is_open]
    chosen = list(steps) if steps is not None else simple
    if not chosen or not set(chosen) <= set(simple):
        raise RobustcheckError(
            f"steps must be some of {', '.join(simple)}; got {', '.join(chosen) or 'none'}"
        )
    nested: st.SearchStrategy[View] = st.just(X)
    for _ in range(deepest):
        nested = st.one_of(st.just(X), st.builds(_applied, st.sampled_from(chosen).flatmap(_heads), nested))
    return nested.filter(lambda view: view is not None)


def _applied(head: str, source: View | None) -> View | None:
    """The view of a step's text on another view; None where the notation refuses the combination of options."""
    if source is None:
        return None
    try:
        return parse(f"{head}({source})")
    except NotationError:
        return None


def _heads(name: str) -> st.SearchStrategy[str]:
    """A step's text, with an allowed amount and some of its options, those that are a choice of words."""
    step = STEPS[name]
    parts: list[st.SearchStrategy[str]] = [st.just(name)]
    if step.amount is not None:
        declared: Any = step.amount
        has_default = declared.default is not None
        high = int(declared.high) if has_default else min(int(declared.high), _LARGEST_AMOUNT)
        numbers = st.integers(max(1, int(declared.low)), high).map(lambda number: f"_{number}")
        parts.append(st.one_of(st.just(""), numbers) if has_default else numbers)
    words = {key: option.words for key, option in step.options.items() if isinstance(option, Choice | Flag)}
    choices = {key: st.sampled_from(words[key]) for key in sorted(words)}
    parts.append(st.fixed_dictionaries({}, optional=choices).map(_options))
    return st.tuples(*parts).map("".join)


def _options(options: dict[str, str]) -> str:
    return f"[{','.join(f'{key}={value}' for key, value in options.items())}]" if options else ""


def _flat(draw: st.DrawFn, height: int, width: int) -> Pixels:
    return np.broadcast_to(_colour(draw), (3, height, width)).copy()


def _bordered(draw: st.DrawFn, height: int, width: int) -> Pixels:
    image = _flat(draw, height, width)
    image[:, draw(st.integers(0, height - 1)) :, draw(st.integers(0, width - 1)) :] = _colour(draw)
    return image


def _ramp(draw: st.DrawFn, height: int, width: int) -> Pixels:
    first, last, is_along_rows = draw(_LEVEL), draw(_LEVEL), draw(st.booleans())
    along = np.linspace(first, last, width if is_along_rows else height).round().astype(np.uint8)
    plane = np.broadcast_to(along if len(along) == width else along[:, None], (height, width))
    return np.repeat(plane[None], 3, axis=0)


def _checker(draw: st.DrawFn, height: int, width: int) -> Pixels:
    side = draw(st.integers(1, 8))
    rows, columns = np.mgrid[:height, :width] // side
    return np.where((rows + columns) % 2 == 0, _colour(draw), _colour(draw)).astype(np.uint8)


def _all_levels(draw: st.DrawFn, height: int, width: int) -> Pixels:
    start = draw(_LEVEL)
    return ((np.arange(3 * height * width) + start) % 256).astype(np.uint8).reshape(3, height, width)


def _noise(draw: st.DrawFn, height: int, width: int) -> Pixels:
    low, high = sorted((draw(_LEVEL), draw(_LEVEL)))
    random = np.random.default_rng(draw(_SEED))
    return random.integers(low, high + 1, (3, height, width), dtype=np.uint8)


def _colour(draw: st.DrawFn) -> Pixels:
    packed = draw(st.integers(0, 2**24 - 1))  # one draw, so that a flat image is the simplest
    return np.array([packed >> 16, packed >> 8 & 255, packed & 255], dtype=np.uint8).reshape(3, 1, 1)


def _everywhere(draw: st.DrawFn, shape: tuple[int, ...], epsilon: int) -> Any:
    return np.full(shape, draw(st.sampled_from((epsilon, -epsilon))), dtype=np.int16)


def _signs(draw: st.DrawFn, shape: tuple[int, ...], epsilon: int) -> Any:
    random = np.random.default_rng(draw(_SEED))
    return (epsilon * random.choice([-1, 1], shape)).astype(np.int16)


def _single(draw: st.DrawFn, shape: tuple[int, ...], epsilon: int) -> Any:
    change = np.zeros(shape, dtype=np.int16)
    change[tuple(draw(st.integers(0, side - 1)) for side in shape)] = draw(st.integers(-epsilon, epsilon))
    return change


def _within(draw: st.DrawFn, shape: tuple[int, ...], epsilon: int) -> Any:
    return np.random.default_rng(draw(_SEED)).integers(-epsilon, epsilon + 1, shape).astype(np.int16)


_KINDS = (_flat, _bordered, _ramp, _checker, _all_levels, _noise)
_CHANGES = (_everywhere, _single, _signs, _within)
