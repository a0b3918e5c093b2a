"""ILSVRC 2012's validation images: in folders by WordNet id, or all in one folder with the ground truth."""

from __future__ import annotations

import re
from pathlib import Path

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.images.decoding import name_as_text
from robustcheck.images.image_set import ImageSet
from robustcheck.images.sources.folder import Listing, image_set
from robustcheck.images.subset import Draw
from robustcheck.models.imagenet_classes import class_of_challenge_id, sorted_wnids
from robustcheck.models.preprocessing import Preprocessing

_FOLDERS = ("val", "validation", "ILSVRC2012_img_val", "Data/CLS-LOC/val", ".")
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_TRUTH_FOLDERS = (".", "data", "ILSVRC2012_devkit_t12/data", "devkit/data")
_NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})\.jpe?g", re.IGNORECASE)


def open_imagenet(location: str, preprocessing: Preprocessing, _draw: Draw | None) -> ImageSet:
    """Open the validation images below `location`, labelled by class of sorted WNIDs, as networks number them.

    Either torchvision's layout, a folder for each WNID (a part of them is enough) in `val` or in the root
    itself, or all images in one folder with the devkit's ILSVRC2012_validation_ground_truth.txt beside it.
    RobustcheckError for anything else, with the places that were searched.
    """
    root = Path(location).expanduser()
    if not location or not root.is_dir():
        raise RobustcheckError(
            f"images 'imagenet:{location}': no such folder (in {Path.cwd()}); give the one that holds "
            "val, as in imagenet:/data/imagenet"
        )
    for folder in _FOLDERS:
        if (root / folder).is_dir():
            images, folders = Listing().of(str(root / folder))
            if any(_NUMBERED.fullmatch(name) for name in images):
                return _flat(root, root / folder, images, preprocessing)
            if any(name in sorted_wnids() for name in folders):
                return _by_wnid(root / folder, folders, preprocessing)
    raise RobustcheckError(
        f"{root} does not hold ImageNet's validation images: looked in {', '.join(_FOLDERS)} for folders named by WordNet "
        "id (n01440764, ...) and for files ILSVRC2012_val_00000001.JPEG; for a folder of other images leave out "
        "imagenet:"
    )


def _by_wnid(folder: Path, wnids: list[str], preprocessing: Preprocessing) -> ImageSet:
    place = {wnid: index for index, wnid in enumerate(sorted_wnids())}
    others = [name for name in wnids if name not in place]
    if others:
        raise RobustcheckError(
            f"{folder}: {len(others)} of {len(wnids)} folders are not classes of ILSVRC 2012: "
            f"{unknown('WordNet id', others[0], place)}"
        )
    listing = Listing()
    labelled = [(path, place[wnid]) for wnid in wnids for path in listing.below(str(folder), wnid)]
    if not labelled:
        raise RobustcheckError(f"no images in {folder}: its {len(wnids)} class folders are empty")
    paths, labels = zip(*labelled, strict=True)
    return image_set(
        str(folder), list(paths), preprocessing, labels=labels, class_names=sorted_wnids(), name=_name(folder)
    )


def _flat(root: Path, folder: Path, images: list[str], preprocessing: Preprocessing) -> ImageSet:
    truth = _truth(root, folder)
    numbers = {name: int(found[1]) for name in images if (found := _NUMBERED.fullmatch(name))}
    unknown_names = [name for name in images if name not in numbers]
    if unknown_names:
        raise RobustcheckError(
            f"{folder} holds {len(unknown_names)} images that the ground truth has no label for, such as {name_as_text(unknown_names[0])!r}: "
            "the challenge's are called ILSVRC2012_val_00000001.JPEG and so on"
        )
    classes, labels = class_of_challenge_id(), []
    for name, number in numbers.items():
        if not 1 <= number <= len(truth):
            raise RobustcheckError(
                f"{name} must have a line in the ground truth, which has {len(truth)}: if it is truncated, copy it again"
            )
        labels.append(int(classes[truth[number - 1] - 1]))
    return image_set(
        str(folder), images, preprocessing, labels=labels, class_names=sorted_wnids(), name=_name(folder)
    )


def _truth(root: Path, folder: Path) -> list[int]:
    """Return the ILSVRC2012_ID, 1 to 1000, of each validation image."""
    places = [base / inner / _TRUTH for base in (root, folder, root.parent) for inner in _TRUTH_FOLDERS]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise RobustcheckError(
            f"{folder} holds ImageNet's validation images in one folder, without their labels: put {_TRUTH} of "
            f"the development kit into {root} (looked also in {', '.join(_TRUTH_FOLDERS[1:])} below it)"
        )
    numbers = []
    for line, text in enumerate(path.read_text("ascii", errors="replace").splitlines(), 1):
        if not text.strip().isdecimal() or not 1 <= int(text) <= len(sorted_wnids()):
            raise RobustcheckError(
                f"{path}, line {line}: a class must be an integer from 1 to 1000, got {text[:40]!r}"
            )
        numbers.append(int(text))
    return numbers


def _name(folder: Path) -> str:
    return f"imagenet:{name_as_text(str(folder))}"
