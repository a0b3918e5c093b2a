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
_ODD_MARGINS = ("even", "down")
INTERPOLATIONS = (*_NATIVE_ON_TENSORS, "box", "hamming", "lanczos")


@dataclass(frozen=True)
class Preprocessing:
    """A classifier's own way from an image file to its input.

    The image is resized, cropped at the centre to `input_size` (height, width), and its pixels p in 0..255
    become (p / 255 - mean) / std, channel by channel. `resize` is the length that the shorter side gets, or more where
    the image would not cover `input_size`; or it is (height, width) for a squash that does not keep the aspect ratio.
    `antialias` is Pillow's resizing; without it the resizing is that of an image tensor. `odd_margin` is where the
    crop begins if its margins are not whole: "even" rounds half of them to even, as torchvision does, "down" rounds
    down, as the processors of Hugging Face do.
    """

    input_size: tuple[int, int]
    resize: Size
    interpolation: str = "bicubic"
    antialias: bool = True
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    odd_margin: str = "even"

    def __post_init__(self) -> None:
        allowed = INTERPOLATIONS if self.antialias else _NATIVE_ON_TENSORS
        if self.interpolation not in allowed:
            raise unknown("interpolation", self.interpolation, allowed)
        if self.odd_margin not in _ODD_MARGINS:
            raise unknown("odd_margin", self.odd_margin, _ODD_MARGINS)
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
        least = self.input_size if isinstance(self.resize, tuple) else (min(self.input_size),) * 2
        if resized[0] < least[0] or resized[1] < least[1]:
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
        """Return the preprocessing for a size alone: as small as covers it, bicubic, then a centre crop of what is over.

        An image of the size itself is taken as it is. Networks that were trained for a smaller crop, as most for
        ImageNet, need `resize`: that is usually size / 0.875.

        >>> Preprocessing.for_size((128, 384)).resized(500, 1000), Preprocessing.for_size(224, resize=256).resized(500, 1000)
        ((192, 384), (256, 512))
        """
        input_size = as_size("input_size", size)
        return cls(
            input_size=input_size,
            resize=min(input_size) if resize is None else resize,
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

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) to which an image is resized before the crop, as torchvision rounds them."""
        if isinstance(self.resize, tuple):
            return self.resize
        shorter, (least_height, least_width) = self.resize, self.input_size
        if height <= width:
            size = shorter, int(shorter * width / height)
        else:
            size = int(shorter * height / width), shorter
        if size[0] >= least_height and size[1] >= least_width:
            return size
        if least_height * width >= least_width * height:
            return least_height, max(least_width, int(least_height * width / height))
        return max(least_height, int(least_width * height / width)), least_width

    def crop_from(self, height: int, width: int) -> tuple[int, int]:
        """Return the (top, left) pixel at which the crop of a resized image begins."""
        margins = height - self.input_size[0], width - self.input_size[1]
        down = self.odd_margin == "down"
        top, left = (margin // 2 if down else round(margin / 2) for margin in margins)
        return top, left

    def describe(self) -> str:
        """Return the preprocessing in one line, for reports.

        >>> Preprocessing.for_size(224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)).describe()
        '224x224 as it is, else shorter side to 224 (bicubic), centre crop 224x224, mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5)'
        """
        height, width = self.input_size
        if isinstance(self.resize, tuple):
            resized = f"squash to {self.resize[0]}x{self.resize[1]}"
        else:
            resized = f"shorter side to {self.resize}"
            if self.resize < max(height, width):
                resized += f" or as much as covers {height}x{width}"
        way = self.interpolation if self.antialias else f"{self.interpolation}, no antialiasing"
        if self.resized(height, width) == (height, width):
            resized = f"{height}x{width} as it is, else {resized}"
        return f"{resized} ({way}), centre crop {height}x{width}, {self.normalisation}"

    @property
    def normalisation(self) -> str:
        """The normalisation alone, for reports."""
        return f"mean {self.mean}, std {self.std}"


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
