"""What a classifier does to a photograph: resize, crop, normalise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, TypeAlias

from robustcheck.errors import RobustcheckError, unknown

Size: TypeAlias = int | tuple[int, int]
Channels: TypeAlias = tuple[float, ...]
"""A number for each channel that a network takes: red, green and blue, or grey alone."""

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
    down, as the processors of Hugging Face do. With one number in `mean` and `std` the network takes grey images, one
    channel: the unweighted mean of red, green and blue, (R + G + B) / 3.
    """

    input_size: tuple[int, int]
    resize: Size
    interpolation: str = "bicubic"
    antialias: bool = True
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)
    odd_margin: str = "even"

    def __post_init__(self) -> None:
        allowed = INTERPOLATIONS if self.antialias else _NATIVE_ON_TENSORS
        if self.interpolation not in allowed:
            raise unknown("interpolation", self.interpolation, allowed)
        if self.odd_margin not in _ODD_MARGINS:
            raise unknown("odd_margin", self.odd_margin, _ODD_MARGINS)
        object.__setattr__(self, "input_size", as_size("input_size", self.input_size))
        object.__setattr__(self, "mean", _channels("mean", self.mean))
        object.__setattr__(self, "std", _channels("std", self.std))
        if len(self.mean) != len(self.std):
            raise RobustcheckError(
                f"mean and std must have as many numbers, three for RGB or one for grey, got {self.mean} and {self.std}"
            )
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
            mean=_channels("mean", mean),
            std=_channels("std", std),
        )

    @classmethod
    def from_timm(cls, config: Mapping[str, Any], *, name: str) -> Preprocessing:
        """Return the preprocessing of timm's evaluation transform for a `pretrained_cfg`.

        Raises RobustcheckError for one that this class cannot reproduce to the pixel.
        """
        channels, height, width = config["input_size"]
        mode = config.get("crop_mode") or "center"
        if channels not in (1, 3) or channels != len(config["mean"]):
            raise RobustcheckError(
                f"{name} must take 3 channels (RGB), or one of grey, and have a mean for each, got {channels} channels and mean "
                f"{config['mean']}"
            )
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
        grey = "grey as (R + G + B) / 3, " if self.is_grey else ""
        return f"{grey}mean {self.mean}, std {self.std}"

    @property
    def is_grey(self) -> bool:
        """Whether the network takes grey images, of one channel."""
        return len(self.mean) == 1


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


def _channels(what: str, values: Sequence[float]) -> Channels:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) not in (1, 3):
        raise RobustcheckError(
            f"{what} must be three numbers, for red, green and blue, or one in brackets, as {what}=(0.5,), for a network that "
            f"takes one grey channel, got {values!r}"
        )
    if not all(map(math.isfinite, numbers)):
        raise RobustcheckError(f"{what} must be finite numbers, got {values!r}")
    return numbers
