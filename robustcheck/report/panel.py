"""Pictures of one image under several views, as values that travel: bytes as text, names as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOP = 3
"""How many labels are named."""


@dataclass(frozen=True)
class Prediction:
    """A label by name, its class index, and the probability that the classifier gives it."""

    name: str
    index: int
    probability: float


@dataclass(frozen=True)
class Picture:
    """An image under one view, or the change between two, and what the classifier takes it for."""

    title: str
    """The view, or what is shown."""
    data: str
    """A lossless WebP file, base64."""
    width: int
    height: int
    top: tuple[Prediction, ...] = ()
    right: bool | None = None
    """Whether the first label is the image's own; None where it has none, and of a change."""


@dataclass(frozen=True)
class Panel:
    """One image: clean, perturbed, recompressed, and the change."""

    group: str
    """Why it is shown."""
    image: str
    label: str
    """Its label by name, or what stands for it."""
    pictures: tuple[Picture, ...]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Panel:
        """Return the panel that `dataclasses.asdict` gave as dictionaries."""
        pictures = tuple(
            Picture(**{**picture, "top": tuple(Prediction(**top) for top in picture["top"])})
            for picture in plain["pictures"]
        )
        return cls(**{**plain, "pictures": pictures})
