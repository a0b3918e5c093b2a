"""What a classifier does to a photograph: resize, crop, normalise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, TypeAlias

from robustcheck.errors import RobustcheckError, unknown

Size: TypeAlias = int | tuple[int, int]
Triple: TypeAlias = tuple[float, float, float]

DEFAULT_CROP_FRACTION = 0.875
_NATIVE_ON_TENSORS = ("bicubic", "bilinear", "nearest")
INTERPOLATIONS = (*_NATIVE_ON_TENSORS, "box", "hamming", "lanczos")


@dataclass(frozen=True)
class Preprocessing:
    """A classifier's own way from an image file to its input.

    The image is resized, cropped at the centre to `input_size` (height, width), and its pixels p in 0..255
    become (p / 255 - mean) / std, channel by channel. `resize` is the length that the shorter side gets, or
    (height, width) for a squash that does not keep the aspect ratio. `antialias` is Pillow's resizing;
    without it the resizing is that of an image tensor.
    """

    input_size: tuple[int, int]
    resize: Size
    interpolation: str = "bicubic"
    antialias: bool = True
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        allowed = INTERPOLATIONS if self.antialias else _NATIVE_ON_TENSORS
        if self.interpolation not in allowed:
            raise unknown("interpolation", self.interpolation, allowed)
        object.__setattr__(self, "input_size", as_size("input_size", self.input_size))
        object.__setattr__(self, "mean", _triple("mean", self.mean))
        object.__setattr__(self, "std", _triple("std", self.std))
        resized = as_size("resize", self.resize)
        object.__setattr__(self, "resize", resized if isinstance(self.resize, Sequence) else resized[0])
        if min(self.std) <= 0:
            raise RobustcheckError(f"std must be above 0, in units of 0..1, got {self.std}")
        if max(self.mean) > 1:
            raise RobustcheckError(
                f"mean must be in units of 0..1, got {self.mean}: divide mean and std by 255"
            )
        if resized[0] < self.input_size[0] or resized[1] < self.input_size[1]:
            raise RobustcheckError(
                f"resize must be at least input_size {self.input_size}, got {self.resize}: the crop would reach beyond "
                "the image"
            )

    @classmethod
    def for_size(
        cls,
        size: Size,
        *,
        resize: Size | None = None,
        interpolation: str = "bicubic",
        antialias: bool = True,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> Preprocessing:
        """Return the usual ImageNet preprocessing for a size: the shorter side to size / 0.875, bicubic, centre crop.

        >>> Preprocessing.for_size(224).resize
        256
        """
        input_size = as_size("input_size", size)
        return cls(
            input_size=input_size,
            resize=round(max(input_size) / DEFAULT_CROP_FRACTION) if resize is None else resize,
            interpolation=interpolation,
            antialias=antialias,
            mean=_triple("mean", mean),
            std=_triple("std", std),
        )

    @classmethod
    def from_timm(cls, config: Mapping[str, Any], *, name: str) -> Preprocessing:
        """Return the preprocessing of timm's evaluation transform for a `pretrained_cfg`.

        Raises RobustcheckError for one that this class cannot reproduce to the pixel.
        """
        channels, height, width = config["input_size"]
        mode = config.get("crop_mode") or "center"
        if channels != 3:
            raise RobustcheckError(f"{name} must take 3 channels (RGB), got {channels}")
        if mode not in ("center", "squash") or (mode == "center" and height != width):
            raise RobustcheckError(
                f"the crop of {name} must be timm's center to a square, or squash, got {mode!r} to {height}x{width}: wrap "
                "the network: robustcheck.Classifier(net, mean=..., std=..., "
                f"input_size=({height}, {width}), resize=...)"
            )
        fraction = config.get("crop_pct") or DEFAULT_CROP_FRACTION
        scaled = (math.floor(height / fraction), math.floor(width / fraction))
        return cls(
            input_size=(height, width),
            resize=scaled if mode == "squash" else scaled[0],
            interpolation=config.get("interpolation") or "bicubic",
            mean=config["mean"],
            std=config["std"],
        )

    def describe(self) -> str:
        """Return the preprocessing in one line, for reports.

        >>> Preprocessing.for_size(224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)).describe()
        'shorter side to 256 (bicubic), centre crop 224x224, mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5)'
        """
        resize = self.resize
        resized = (
            f"shorter side to {resize}" if isinstance(resize, int) else f"squash to {resize[0]}x{resize[1]}"
        )
        way = self.interpolation if self.antialias else f"{self.interpolation}, no antialiasing"
        height, width = self.input_size
        return f"{resized} ({way}), centre crop {height}x{width}, mean {self.mean}, std {self.std}"


def as_size(what: str, size: Any) -> tuple[int, int]:
    """Return (height, width) of a size given as one integer or as two; RobustcheckError otherwise."""
    try:
        height, width = size if isinstance(size, Sequence) else (size, size)
        height, width = index(height), index(width)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise RobustcheckError(
            f"{what} must be an integer or (height, width) in pixels, each >= 1, got {size!r}"
        )
    return height, width


def _triple(what: str, values: Sequence[float]) -> Triple:
    try:
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError):
        raise RobustcheckError(
            f"{what} must be three numbers, for red, green and blue, got {values!r}"
        ) from None
    if not all(map(math.isfinite, (red, green, blue))):
        raise RobustcheckError(f"{what} must be finite numbers, got {values!r}")
    return red, green, blue
