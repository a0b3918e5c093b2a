"""Matching the classes of images to a classifier's: by WordNet id or name if both are known, else by order."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.images.image_set import ImageSet
from robustcheck.models import Classifier
from robustcheck.models.class_names import plain_name
from robustcheck.models.imagenet_classes import CLASSES, sorted_wnids, wnids_of
from robustcheck.user_code import warn

_WNID = re.compile(r"n\d{8}")


def match_classes(images: ImageSet, classifier: Classifier) -> ImageSet:
    """Return the images with labels in the classifier's numbering.

    By WNID if the images' classes are WNIDs and the classifier knows ImageNet's 1000; by name if it knows all
    of them; else by order, with a RobustnessWarning if that may be wrong. RobustcheckError if only some names
    are the classifier's, and for labels given as names (in a table or a list) that the classifier has none to compare
    with. `images.notes` report the way.
    """
    names = images.class_names
    if names is None:
        return images
    count, known = classifier.probe(), classifier.class_names
    if names == known:
        return images
    by_wnid = all(map(_WNID.fullmatch, names)) and _wnids(known, count)
    if by_wnid:
        places = _places(names, by_wnid, images, classifier)
        return _relabelled(images, places, classifier, "classes by WordNet id")
    if images.has_sorted_names and known is None:
        shown = ", ".join(map(repr, names[:3]))
        raise RobustcheckError(
            f"labels of {images.name} are names ({shown}{', ...' if len(names) > 3 else ''}), and {classifier.name} does not "
            "know its classes' names: give them in the order of its logits, as\n"
            f"    robustcheck.Classifier(net, ..., class_names=[...])  # {count} names: of class 0, of class 1, ...\n"
            "or give class indices as labels"
        )
    if known is not None:
        words = [plain_name(name) for name in known]
        found = [name for name in names if words.count(plain_name(name)) == 1]
        if 2 * len(found) >= len(names):
            places = _places([plain_name(name) for name in names], words, images, classifier)
            return _relabelled(images, places, classifier, "classes by name")
        if len(names) == count:
            _warn_of_order(images, classifier, f"only {len(found)} of the class names agree")
    if len(names) != count:
        counts = f"{images.name} has {len(names)} classes and {classifier.name} has {count}"
        _warn_of_order(images, classifier, counts)
    return images.with_note("classes by order")


def _wnids(known: Sequence[str] | None, count: int) -> Sequence[str] | None:
    """Return the classifier's WNIDs; without class names, the usual ones if it has 1000 classes."""
    if known is None:
        return sorted_wnids() if count == CLASSES else None
    return known if all(map(_WNID.fullmatch, known)) else wnids_of(known)


def _places(
    names: Sequence[str], known: Sequence[str], images: ImageSet, classifier: Classifier
) -> list[int]:
    place = {name: index for index, name in enumerate(known)}
    unmatched = [name for name in names if known.count(name) != 1]
    if unmatched and unmatched[0] in place:
        raise RobustcheckError(
            f"{classifier.name} has several classes called {unmatched[0]!r}, and {images.name} has one: name the folders by "
            "WordNet id (n01440764, ...), or give class indices in a table"
        )
    if unmatched:
        raise RobustcheckError(
            f"{len(unmatched)} of the {len(names)} classes of {images.name} are not among {classifier.name}'s, and the others "
            f"are: {unknown('class', unmatched[0], known)}. Rename or remove those folders"
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
    warn(f"{why}: folders are matched to classes by order" + (f" ({pairs}, ...)" if pairs else ""))
