"""The 1000 classes of ILSVRC 2012: their WordNet ids, in the challenge's own order and sorted.

Networks of torchvision, timm and the hubs number the classes by sorted WordNet id (WNID); OverFeat and the
ground truth of the validation images by the challenge's ILSVRC2012_ID, 1 to 1000.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from robustcheck.models.class_names import plain_name

CLASSES = 1000
_MOSTLY = 0.9


@cache
def challenge_wnids() -> tuple[str, ...]:
    """Return WNIDs by ILSVRC2012_ID, which begins at 1: the first is that of class 1."""
    text = files("robustcheck.models").joinpath("ilsvrc2012_wnids.txt").read_text("ascii")
    return tuple(text.split())


@cache
def sorted_wnids() -> tuple[str, ...]:
    """Return WNIDs in the order in which networks number the classes."""
    return tuple(sorted(challenge_wnids()))


def class_of_challenge_id() -> NDArray[np.int64]:
    """Return by ILSVRC2012_ID - 1 the class in networks' numbering: int64 (1000,)."""
    place = {wnid: index for index, wnid in enumerate(sorted_wnids())}
    return np.array([place[wnid] for wnid in challenge_wnids()], dtype=np.int64)


@cache
def class_names() -> tuple[str, ...]:
    """Return the names of the classes in English, in the order in which networks number them."""
    from torchvision.models import ResNet50_Weights  # a run of another network needs nothing of torchvision

    return tuple(ResNet50_Weights.DEFAULT.meta["categories"])


def wnids_of(names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the WNIDs of a network's classes, if their names are ImageNet's 1000 in the usual order.

    A few may be spelt differently, as they are from library to library.
    """
    if len(names) != CLASSES:
        return None
    pairs = zip(names, class_names(), strict=True)
    agreeing = sum(plain_name(mine) == plain_name(theirs) for mine, theirs in pairs)
    return sorted_wnids() if agreeing >= _MOSTLY * CLASSES else None
