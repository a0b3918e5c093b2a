"""The 1000 classes of ILSVRC 2012: their WordNet ids, in the challenge's own order and sorted.

Networks of torchvision, timm and the hubs number the classes by sorted WordNet id (WNID); OverFeat and the
ground truth of the validation images by the challenge's ILSVRC2012_ID, 1 to 1000.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

CLASSES = 1000


@cache
def challenge_wnids() -> tuple[str, ...]:
    """WNIDs by ILSVRC2012_ID, which begins at 1: the first is that of class 1."""
    text = files("robustcheck.models").joinpath("ilsvrc2012_wnids.txt").read_text("ascii")
    return tuple(text.split())


@cache
def sorted_wnids() -> tuple[str, ...]:
    """WNIDs in the order in which networks number the classes."""
    return tuple(sorted(challenge_wnids()))


def class_of_challenge_id() -> NDArray[np.int64]:
    """By ILSVRC2012_ID - 1, the class that networks call it: int64 (1000,)."""
    place = {wnid: index for index, wnid in enumerate(sorted_wnids())}
    return np.array([place[wnid] for wnid in challenge_wnids()], dtype=np.int64)


def sorted_place_of_challenge_order() -> NDArray[np.int64]:
    """By class of sorted WNIDs, where it stands in the challenge's order: int64 (1000,)."""
    return np.argsort(class_of_challenge_id()).astype(np.int64)
