"""A folder of image files, its sub-folders being classes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from robustcheck.errors import RobustcheckError, RobustnessWarning
from robustcheck.images.decoding import Files
from robustcheck.images.image_set import ImageSet
from robustcheck.models.preprocessing import Preprocessing

EXTENSIONS = frozenset(
    {
        ".bmp",
        ".gif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)


def open_folder(location: str, rule: Preprocessing) -> ImageSet:
    """The images in a folder.

    Where sub-folders hold images, each sub-folder is a class, numbered in the order of their names, and its
    images are all those below it. Else the images in the folder itself make a set without labels. Hidden
    files and folders are passed over, as are files whose extension is none of an image's.
    """
    root = Path(location).expanduser()
    _check(root)
    loose, folders = _listed(root)
    classes = [list(_images_below(folder)) for folder in folders]
    if not any(classes):
        if not loose:
            raise RobustcheckError(
                f"no images in {root}: neither in it nor in its sub-folders is a file with one of the extensions "
                f"{' '.join(sorted(EXTENSIONS))}"
            )
        return _image_set(root, loose, rule)
    empty = [folder.name for folder, paths in zip(folders, classes, strict=True) if not paths]
    if empty:
        raise RobustcheckError(
            f"{root} has folders without images ({_printable(', '.join(empty[:10]))}), and a class is numbered by its "
            "place among the folders: take out what is no class, or give each class an image"
        )
    if loose:
        warnings.warn(
            f"{root} has class folders, so {len(loose)} image(s) beside them are left out, such as {loose[0].name!r}",
            RobustnessWarning,
            stacklevel=3,
        )
    return _image_set(
        root,
        [path for paths in classes for path in paths],
        rule,
        labels=[label for label, paths in enumerate(classes) for _ in paths],
        class_names=[_printable(folder.name) for folder in folders],
    )


def _image_set(
    root: Path,
    paths: list[Path],
    rule: Preprocessing,
    labels: list[int] | None = None,
    class_names: list[str] | None = None,
) -> ImageSet:
    return ImageSet(
        Files(tuple(paths), rule),
        names=[_printable(path.relative_to(root).as_posix()) for path in paths],
        name=_printable(str(root)),
        labels=labels,
        class_names=class_names,
    )


def _check(root: Path) -> None:
    if root.is_dir():
        return
    if root.exists():
        raise RobustcheckError(f"images {str(root)!r} is a file; give the folder that holds the images")
    raise RobustcheckError(
        f"images {str(root)!r}: there is no such folder (looked from {Path.cwd()}); give a folder, or sample"
    )


def _images_below(folder: Path) -> Iterator[Path]:
    """All images below a folder in the order of their paths; a folder reached a second time by a link is left out."""
    seen = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        status = current.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        images, folders = _listed(current)
        yield from images
        waiting.extend(reversed(folders))


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """The images and the folders in a folder, each sorted by name; no file is opened."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise RobustcheckError(f"folder {str(folder)!r} cannot be listed: {error.strerror}") from error
    folders = sorted(entry.name for entry in shown if entry.is_dir())
    images = sorted(entry.name for entry in shown if _is_image(entry.name) and not entry.is_dir())
    return [folder / name for name in images], [folder / name for name in folders]


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122 - a Path for each of a million is slow


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
