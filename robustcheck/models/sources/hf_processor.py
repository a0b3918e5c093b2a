"""The preprocessing of a Hugging Face image processor, as a `Preprocessing`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torchvision.transforms.functional as transforms
from numpy.typing import NDArray
from PIL import Image

from robustcheck.errors import RobustcheckError
from robustcheck.models.preprocessing import Preprocessing, Size

_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # Pillow's
_SWITCHES = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_flip_channel_order")
_VALUES = (
    "crop_pct", "include_top", "rescale_offset", "rescale_factor", "image_mean", "image_std", "resample",
)  # fmt: skip
_MOST_APART = {"mean": 0.5, "max": 4.0}
"""Levels between the processor's pixels and ours, on each picture: its resizing rounds otherwise than Pillow's, by one or
two levels here and there. A picture that is moved by one pixel is several levels apart in the mean."""
_SIZES = ((640, 427), (427, 640), (203, 161), (161, 203), (50, 40), (31, 77), (1000, 300))
"""Width and height of the pictures: landscape, portrait, odd sides, smaller than any input, panorama."""


def preprocessing_of(processor: Any, config: Any, *, name: str) -> tuple[Preprocessing, bool]:
    """Return a processor's preprocessing, and whether it turns RGB into BGR.

    Size and crop are read from its settings; each way to read them is compared with the processor's own output on
    pictures of seven sizes. RobustcheckError if none agrees on all of them.
    """
    if getattr(config, "model_type", "") == "timm_wrapper":  # a network of timm, with its own configuration
        return Preprocessing.from_timm(config.pretrained_cfg, name=name), False
    settings = _settings(processor)
    mean, std = _normalisation(settings, name)
    flips = settings["do_flip_channel_order"]
    way = _interpolation(settings, name)
    pictures = [_picture(*size) for size in _SIZES]
    if not settings["do_resize"] and not settings["do_center_crop"]:  # it takes images as they are
        _own_output(processor, pictures[0], mean, std, flips=flips, name=name)
        size = _size(getattr(config, "image_size", None))
        if size is None:
            raise RobustcheckError(
                f"the processor of {name} takes images in their own size, and its configuration has no image_size. Wrap the "
                f"network with a size of yours: robustcheck.Classifier(net, mean={mean}, std={std}, input_size=224)"
            )
        return Preprocessing.for_size(size, interpolation=way, mean=mean, std=std), flips
    wanted = [_own_output(processor, picture, mean, std, flips=flips, name=name) for picture in pictures]
    height, width = wanted[0].shape[1:]
    for resize, odd_margin in product(_resizes(settings, (height, width)), ("down", "even")):
        if np.less(resize, (height, width)).any():
            continue
        reading = Preprocessing((height, width), resize, way, mean=mean, std=std, odd_margin=odd_margin)
        if all(_is_equal(reading, *pair) for pair in zip(pictures, wanted, strict=True)):
            return reading, flips
    relevant = ("do_", "size", "crop", "resample")
    shown = {key: value for key, value in settings.items() if key.startswith(relevant)}
    raise RobustcheckError(
        f"the preprocessing of the processor of {name} can't be reproduced to the pixel: {shown}. Wrap the "
        f"network: robustcheck.Classifier(net, mean={mean}, std={std}, input_size=({height}, {width}), resize=...)"
    )


def _settings(processor: Any) -> dict[str, Any]:
    settings: dict[str, Any] = processor.to_dict()
    for key in _VALUES:
        settings.setdefault(key, getattr(processor, key, None))
    for key in _SWITCHES:
        settings.setdefault(key, bool(getattr(processor, key, False)))
    return settings


def _normalisation(settings: dict[str, Any], name: str) -> tuple[Any, Any]:
    """Return mean and std of pixels in 0..1 that equal rescaling, an offset and normalising together."""
    factor = float(settings["rescale_factor"] or 1 / 255) if settings["do_rescale"] else 1.0
    normalises = settings["do_normalize"] and settings["image_mean"] is not None
    mean = _by_channel(settings["image_mean"] if normalises else 0.0, "image_mean", name)
    std = _by_channel(settings["image_std"] if normalises else 1.0, "image_std", name)
    if settings["rescale_offset"]:
        mean = mean + 1
    if settings["include_top"]:  # EfficientNet's processor divides by it twice
        std = std * _by_channel(settings["image_std"], "image_std", name)
    if not math.isfinite(factor) or factor <= 0 or (std <= 0).any():
        raise RobustcheckError(
            f"rescale factor and std of the processor of {name} must be above 0, got {factor} and {std.tolist()}"
        )
    scale = 255 * factor
    rounded = [tuple(round(value, 9) for value in (each / scale).tolist()) for each in (mean, std)]
    return rounded[0], rounded[1]


def _by_channel(value: Any, key: str, name: str) -> NDArray[np.float64]:
    """Return a setting's numbers for red, green and blue: float64 (3,)."""
    try:
        numbers = np.broadcast_to(np.asarray(value, dtype=float), 3)
    except (TypeError, ValueError):
        numbers = np.full(3, math.nan)
    if not np.isfinite(numbers).all():
        raise RobustcheckError(
            f"{key} of the processor of {name} must be a finite number, or three of them, got {str(value)[:80]}"
        )
    return numbers


def _interpolation(settings: dict[str, Any], name: str) -> str:
    resample = 2 if settings["resample"] is None else settings["resample"]
    number = resample if isinstance(resample, int) else -1
    way = _RESAMPLING.get(number) or str(getattr(resample, "value", resample))
    if way not in _RESAMPLING.values():
        raise RobustcheckError(
            f"resample of the processor of {name} must be one of Pillow's, got {resample!r}"
        )
    return way


def _resizes(settings: dict[str, Any], input_size: tuple[int, int]) -> Iterator[Size]:
    """Yield the meanings that `size` has in one processor or another."""
    size = settings.get("size") or {}
    size = {"shortest_edge": size} if isinstance(size, int) else dict(size)
    if size.get("height") and size.get("width"):
        yield int(size["height"]), int(size["width"])
    if edge := size.get("shortest_edge"):
        yield int(edge)
        if fraction := settings["crop_pct"]:
            yield int(edge / fraction)
        yield int(256 / 224 * edge)  # LeViT
        yield int(edge), int(edge)
    yield input_size


def _size(value: Any) -> tuple[int, int] | None:
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[1])) if isinstance(value, (tuple, list)) and len(value) == 2 else None


def _picture(width: int, height: int) -> Image.Image:
    """Return a picture with detail and smooth colours, as photographs have."""
    grid = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)


def _own_output(
    processor: Any, picture: Image.Image, mean: Any, std: Any, *, flips: bool, name: str
) -> NDArray[np.float64]:
    """Return the processor's own output on a picture, its normalisation undone: float64 (3, H, W), RGB, 0..255."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = processor(picture, return_tensors="pt")["pixel_values"].double().numpy()
    except Exception as error:
        raise RobustcheckError(
            f"the processor of {name} fails on an image: {type(error).__name__}: {error}"
        ) from error
    if made.ndim != 4 or made.shape[:2] != (1, 3):
        raise RobustcheckError(
            f"the processor of {name} must return (1, 3, H, W) for one image, got {made.shape}"
        )
    in_order = made[0, ::-1] if flips else made[0]
    shown: NDArray[np.float64] = 255 * (in_order * np.reshape(std, (3, 1, 1)) + np.reshape(mean, (3, 1, 1)))
    return shown


def _is_equal(preprocessing: Preprocessing, picture: Image.Image, wanted: NDArray[np.float64]) -> bool:
    """Return whether the preprocessing gives the same pixels, but for the rounding of another resizing."""
    if wanted.shape[1:] != preprocessing.input_size:
        return False
    size = preprocessing.resized(picture.height, picture.width)
    way = transforms.InterpolationMode(preprocessing.interpolation)
    resized = transforms.resize(picture, list(size), interpolation=way)
    cropped = transforms.crop(resized, *preprocessing.crop_from(*size), *preprocessing.input_size)
    apart = np.abs(np.asarray(cropped, dtype=float).transpose(2, 0, 1) - wanted)
    return bool(apart.mean() <= _MOST_APART["mean"] and apart.max() <= _MOST_APART["max"])
