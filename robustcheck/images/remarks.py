"""What is said of a set's images: which are bad and why, which are there twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from robustcheck.images.decoding import BadImage

_NAMED = 10


def listed(errors: Iterable[BadImage]) -> str:
    """Bad images with the reason, up to ten, and how many more there are."""
    return shortened((f"{error.name} {error.reason}" for error in errors), shown=_NAMED, between="; ")


def repeated(ids: Sequence[str], names: Sequence[str], labels: NDArray[np.int64]) -> list[str]:
    """How many images are the same as one before them, with some of them; nothing where none is."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(each, position), position) for position, each in enumerate(ids)]
    pairs = [(original, position) for original, position in pairs if original != position]
    if not pairs:
        return []
    contrary = sum(bool(labels[one] != labels[other]) for one, other in pairs)
    under = f", {contrary} of them under another label" if contrary else ""
    some = shortened(f"{names[one]} = {names[other]}" for one, other in pairs)
    return [
        f"{len(pairs)} image{' repeats' if len(pairs) == 1 else 's repeat'} an earlier one{under} ({some})"
    ]


def shortened(items: Iterable[str], shown: int = 5, between: str = ", ") -> str:
    """The first of some items, and how many more there are."""
    every = list(items)
    more = f"{between}and {len(every) - shown} more" if len(every) > shown else ""
    return between.join(every[:shown]) + more
