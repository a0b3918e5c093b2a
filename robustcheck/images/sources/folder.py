"""A folder of image files, its sub-folders being classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from robustcheck.errors import RobustcheckError
from robustcheck.images.decoding import name_as_text
from robustcheck.images.formats import EXTENSIONS
from robustcheck.images.image_set import ImageSet
from robustcheck.images.source import Source
from robustcheck.images.subset import Draw
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.specs import IMAGE_SOURCES, forms, prefixes
from robustcheck.text import first_line, listed
from robustcheck.user_code import warn

_OTHER_IMAGES = frozenset(".arw .cr2 .dng .heic .heif .jxl .nef .psd .svg .tga".split())  # noqa: SIM905 - a list to read


def open_folder(location: str, preprocessing: Preprocessing, _draw: Draw | None) -> ImageSet:
    """Open the images in a folder.

    If sub-folders hold images, each sub-folder is a class, numbered in sorted order of their names, with all
    images below it. Else the images in the folder itself make a set without labels. Hidden files and folders
    are skipped, and so are files without an image's extension. No file is opened.
    """
    root = str(Path(location).expanduser())
    _check(location, root)
    listing = Listing()
    loose, folders = listing.of(root)
    classes = [list(listing.below(root, folder)) for folder in folders]
    listing.warn_of_unsupported(root)
    if not any(classes):
        if not loose:
            raise RobustcheckError(
                f"no images in {root} or its sub-folders: image files have one of the extensions "
                f"{' '.join(sorted(EXTENSIONS))}"
            )
        return image_set(root, loose, preprocessing)
    empty = [folder for folder, paths in zip(folders, classes, strict=True) if not paths]
    if empty:
        raise RobustcheckError(
            f"{root} has folders without images ({name_as_text(listed(empty, 10))}), and classes are numbered by "
            "folder: remove what is not a class, or give each class an image"
        )
    if loose:
        warn(
            f"{root} has class folders, so {len(loose)} image(s) beside them are skipped, such as {name_as_text(loose[0])!r}"
        )
    return image_set(
        root,
        [path for paths in classes for path in paths],
        preprocessing,
        labels=[label for label, paths in enumerate(classes) for _ in paths],
        class_names=[name_as_text(folder) for folder in folders],
    )


def image_set(
    root: str,
    paths: list[str],
    preprocessing: Preprocessing,
    *,
    labels: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
) -> ImageSet:
    """Return the set of the images at paths from a folder."""
    return ImageSet(
        Source.of_files(root, paths, preprocessing),
        names=[name_as_text(path) for path in paths],
        name=name or name_as_text(root),
        labels=labels,
        class_names=class_names,
    )


class Listing:
    """Lists folders in sorted order, and remembers the files of unsupported formats."""

    def __init__(self) -> None:
        self._unsupported: dict[str, str] = {}

    def of(self, folder: str) -> tuple[list[str], list[str]]:
        """Return the names of the images and of the folders in a folder; no file is opened."""
        try:
            with os.scandir(folder) as entries:
                shown = [(entry.name, _is_folder(entry)) for entry in entries if entry.name[0] != "."]
        except OSError as error:
            raise RobustcheckError(
                f"folder {name_as_text(folder)!r} cannot be listed: {error.strerror}; check its permissions, or name "
                "another"
            ) from error
        shown.sort()
        images = []
        for name, is_folder in shown:
            extension = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path for each of a million is slow
            if not is_folder and extension in EXTENSIONS:
                images.append(name)
            elif not is_folder and extension in _OTHER_IMAGES:
                self._unsupported[name] = extension
        return images, [name for name, is_folder in shown if is_folder]

    def below(self, root: str, folder: str) -> Iterator[str]:
        """Yield paths from the root of all images below a folder, in order.

        A folder that is reached again by a link is skipped, and so is a link to a folder above: what is below
        the root belongs to other classes.
        """
        above = Path(root).resolve()
        seen = {(status.st_dev, status.st_ino) for status in map(os.stat, (above, *above.parents))}
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            status = os.stat(f"{root}/{current}")  # noqa: PTH116 - as above
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            images, folders = self.of(f"{root}/{current}")
            yield from (f"{current}/{name}" for name in images)
            waiting.extend(f"{current}/{name}" for name in reversed(folders))

    def warn_of_unsupported(self, root: str) -> None:
        """Warn of images in formats that are not supported."""
        if self._unsupported:
            name = next(iter(self._unsupported))
            warn(
                f"{name_as_text(root)}: {len(self._unsupported)} file(s) of an unsupported format are skipped, such as "
                f"{name_as_text(name)!r} ({' '.join(sorted(set(self._unsupported.values())))}); save them as PNG or JPEG"
            )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: if it is named as an image, reading it raises
        return False


def _check(location: str, root: str) -> None:
    path = Path(root)
    try:
        if path.is_dir():
            return
        is_there = path.exists()
    except (OSError, ValueError) as error:  # too long a name, a zero byte in it
        raise RobustcheckError(
            f"images must be a path, got {location[:200]!r}: {first_line(error)}; give a folder, or sample"
        ) from None
    if is_there:
        raise RobustcheckError(
            f"images must be a folder or a table (.csv, .tsv, .parquet), got the file {root!r}"
        )
    near = get_close_matches(location.partition(":")[0].lower(), prefixes(IMAGE_SOURCES), n=1)
    meant = f"did you mean {near[0]}:...? " if near and ":" in location else ""
    raise RobustcheckError(
        f"images {name_as_text(root)!r}: no such folder (in {Path.cwd()}); {meant}give {forms(IMAGE_SOURCES)}"
    )
