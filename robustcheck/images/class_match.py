"""The classes of images put to those of a classifier: by WordNet id or name where both are known, else by order."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np

from robustcheck.errors import RobustcheckError, RobustnessWarning, unknown
from robustcheck.images.image_set import ImageSet
from robustcheck.models import Classifier
from robustcheck.models.imagenet_classes import CLASSES, sorted_wnids, wnids_of

_WNID = re.compile(r"n\d{8}")


def match_classes(images: ImageSet, classifier: Classifier) -> ImageSet:
    """The images with labels in the classifier's numbering.

    By WNID where the images' classes are such and the classifier knows the 1000 of ImageNet; by name where it
    knows all of them; else by order, with a RobustnessWarning where that may be wrong. RobustcheckError where
    some names are the classifier's and some are not. How it was done is told by `images.describe`.
    """
    names = images.class_names
    if names is None:
        return images
    count, known = classifier.probe(), classifier.class_names
    if names == known:
        return images
    by_wnid = all(map(_WNID.fullmatch, names)) and _wnids(known, count)
    if by_wnid:
        return _relabelled(
            images, _places(names, by_wnid, images, classifier), classifier, "classes by WordNet id"
        )
    if known is not None:
        words = [_word(name) for name in known]
        found = [name for name in names if words.count(_word(name)) == 1]
        if 2 * len(found) >= len(names):
            places = _places([_word(name) for name in names], words, images, classifier)
            return _relabelled(images, places, classifier, "classes by name")
        if len(names) == count:
            _warn_of_order(images, classifier, f"{len(found)} of the names agree")
    if len(names) != count:
        _warn_of_order(
            images, classifier, f"{images.name} has {len(names)} classes and {classifier.name} knows {count}"
        )
    return images.with_note("classes by order")


def _wnids(known: Sequence[str] | None, count: int) -> Sequence[str] | None:
    """The classifier's WNIDs; of one that says nothing of its 1000 classes, those that such networks have."""
    if known is None:
        return sorted_wnids() if count == CLASSES else None
    return known if all(map(_WNID.fullmatch, known)) else wnids_of(known)


def _places(
    names: Sequence[str], known: Sequence[str], images: ImageSet, classifier: Classifier
) -> list[int]:
    place = {name: index for index, name in enumerate(known)}
    strange = [name for name in names if known.count(name) != 1]
    if strange and strange[0] in place:
        raise RobustcheckError(
            f"{classifier.name} has several classes called {strange[0]!r}, and {images.name} one: name the folders by "
            "WordNet id (n01440764, ...), or number the labels yourself in a manifest"
        )
    if strange:
        raise RobustcheckError(
            f"{len(strange)} of the {len(names)} classes of {images.name} are none of {classifier.name}'s, and the others "
            f"are: {unknown('class', strange[0], known)}. Rename or take out those folders"
        )
    return [place[name] for name in names]


def _relabelled(images: ImageSet, places: list[int], classifier: Classifier, note: str) -> ImageSet:
    images.check_labels(len(places))  # of the images' own classes
    labels = np.where(images.labels >= 0, np.array(places, dtype=np.int64)[images.labels], images.labels)
    changed = images.with_labels(labels, classifier.class_names)
    return changed.with_note(note if places != list(range(classifier.probe())) else "")


def _warn_of_order(images: ImageSet, classifier: Classifier, why: str) -> None:
    names = images.class_names or ()
    known = classifier.class_names or ()
    pairs = ", ".join(f"{mine!r} as {theirs!r}" for mine, theirs in list(zip(names, known, strict=False))[:3])
    warnings.warn(
        f"{why}: folder by folder, in the order of their names, they are taken for the first of them"
        + (f" ({pairs}, ...)" if pairs else ""),
        RobustnessWarning,
        stacklevel=4,
    )


def _word(name: str) -> str:
    """A class name without what people write differently: case, underscores, further synonyms."""
    return re.sub(r"[\s_-]+", " ", name.partition(",")[0]).strip().lower()
