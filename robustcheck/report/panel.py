"""Pictures of one image under several views, as values that travel: bytes as text, names as they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

TOP = 3
"""How many labels are named."""


@dataclass(frozen=True)
class Guess:
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
    top: tuple[Guess, ...] = ()
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

    def to_plain(self) -> dict[str, Any]:
        """Return strings, numbers, lists and dictionaries alone."""
        return asdict(self) | {
            "pictures": [asdict(p) | {"top": [asdict(guess) for guess in p.top]} for p in self.pictures]
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Panel:
        """Return the panel that `to_plain` was asked of."""
        pictures = tuple(
            Picture(**{**picture, "top": tuple(Guess(**guess) for guess in picture["top"])})
            for picture in plain["pictures"]
        )
        return cls(**{**plain, "pictures": pictures})
