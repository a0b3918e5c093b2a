"""From what a user names images by to an image set; the sources are the rows of `robustcheck.specs`."""

from __future__ import annotations

import os
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Protocol

from robustcheck.errors import RobustcheckError
from robustcheck.images.image_set import ImageSet
from robustcheck.images.sources.objects import image_set_of
from robustcheck.images.subset import Draw
from robustcheck.models.preprocessing import Preprocessing, Size
from robustcheck.regular_file import is_too_long
from robustcheck.specs import IMAGE_SOURCES


class Opener(Protocol):
    """What implements a source of images."""

    def __call__(self, argument: str, preprocessing: Preprocessing, draw: Draw | None, /) -> ImageSet:
        """Open what `argument`, the spec without its prefix, names, for a classifier's preprocessing.

        The images of `draw` are drawn from the result; a source may return no more than it needs for that.
        """


def open_images(
    spec: str | os.PathLike[str],
    *,
    size: Size | Preprocessing,
    limit: int | None = None,
    seed: int = 0,
    stratified: bool = False,
) -> ImageSet:
    """Open the images that `spec` names, at a classifier's input size.

    `spec` is a folder (its sub-folders are classes), `imagenet:ROOT` (ILSVRC 2012's validation images),
    `hf:DATASET[:SPLIT]` (by the library datasets; also a local folder), a table (`.csv`, `.tsv` or
    `.parquet`, with columns path and label), or `sample`; a folder called sample is `./sample`. `size` is a
    classifier's `preprocessing`, or a size alone: an integer or (height, width), to which images are brought as small as
    covers it (bicubic, centre crop). `limit` draws that many at random by
    `seed`, from each class its share if `stratified`.

    Raises RobustcheckError for images that do not exist or can't be listed.
    """
    preprocessing = size if isinstance(size, Preprocessing) else Preprocessing.for_size(size)
    if not isinstance(spec, (str, os.PathLike)):
        raise RobustcheckError(
            f"images must be named by a string or a path, not by {type(spec).__name__}; images in memory: "
            "ImageSet.from_arrays(pixels, labels)"
        )
    location = os.fspath(spec)
    if isinstance(location, bytes):
        location = os.fsdecode(location)
    if is_too_long(location):
        raise RobustcheckError(
            f"images {location[:60]!r}... is too long for a name or a path: name a folder, or sample"
        )
    implementation, argument = _implementation(location, is_path=not isinstance(spec, str))
    opener: Opener = resolve_name(implementation)
    if limit is None:
        return opener(argument, preprocessing, None)
    opened = opener(argument, preprocessing, Draw(limit, seed, stratified))
    return opened.sample(limit, seed=seed, stratified=stratified)


def as_image_set(
    images: Any,
    preprocessing: Preprocessing,
    *,
    name: str,
    limit: int | None = None,
    seed: int = 0,
    stratified: bool = False,
) -> ImageSet:
    """Return whatever a user gives as images, as an image set: an ImageSet, a spec or path, or what `image_set_of` takes.

    `name` says where the object came from. `limit`, `seed` and `stratified` are those of `open_images`.
    """
    if isinstance(images, (str, os.PathLike)):
        return open_images(images, size=preprocessing, limit=limit, seed=seed, stratified=stratified)
    made = images if isinstance(images, ImageSet) else image_set_of(images, preprocessing, name=name)
    return made if limit is None else made.sample(limit, seed=seed, stratified=stratified)


def _implementation(spec: str, *, is_path: bool) -> tuple[str, str]:
    """Return the dotted name of the source of `spec`, and its argument; a path has no prefix."""
    *sources, folder = IMAGE_SOURCES
    for source in sources:
        if (source.prefix is None or not is_path) and (argument := source.argument(spec)) is not None:
            if source.prefix is None and Path(spec).expanduser().is_dir():
                break
            return source.implementation, argument
    return folder.implementation, spec
