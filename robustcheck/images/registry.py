"""From what a user names images by to an image set."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TypeAlias

from robustcheck.errors import RobustcheckError
from robustcheck.images.image_set import ImageSet
from robustcheck.images.sources.folder import open_folder
from robustcheck.images.sources.hugging_face import open_dataset
from robustcheck.images.sources.imagenet import open_imagenet
from robustcheck.images.sources.manifest import is_manifest, open_manifest
from robustcheck.images.sources.sample import open_sample
from robustcheck.models.preprocessing import Preprocessing, Size

Opener: TypeAlias = Callable[[str, Preprocessing], ImageSet]  # of what stands after the prefix

# A prefix stands before a colon, or alone: "sample".
_OPENERS: Mapping[str, Opener] = {"imagenet": open_imagenet, "sample": open_sample}


def open_images(
    spec: str | os.PathLike[str],
    *,
    size: Size | Preprocessing,
    limit: int | None = None,
    seed: int = 0,
    stratified: bool = False,
) -> ImageSet:
    """The images that `spec` names, put to a classifier's input size.

    `spec` is a folder (its sub-folders are classes), `imagenet:ROOT` (ILSVRC 2012's validation images),
    `hf:DATASET[:SPLIT]` (by the library datasets; also a local folder), a manifest (`.csv`, `.tsv` or
    `.parquet`, with columns path and label), or `sample`; a folder called sample is `./sample`. `size` is a
    classifier's `preprocessing`, or a size alone: an integer or (height, width), to which images come by the
    usual ImageNet rule (shorter side to size / 0.875, bicubic, centre crop). `limit` takes that many at
    random by `seed`, of each class its share if `stratified`.

    Raises RobustcheckError for images that are not there or can't be listed.
    """
    rule = size if isinstance(size, Preprocessing) else Preprocessing.for_size(size)
    if not isinstance(spec, (str, os.PathLike)):
        raise RobustcheckError(
            f"images are named by a string or a path, not by {type(spec).__name__}; images in memory: "
            "ImageSet.from_arrays(pixels, labels)"
        )
    location = os.fspath(spec)
    if isinstance(location, bytes):
        location = os.fsdecode(location)
    prefix, colon, rest = location.partition(":")
    if isinstance(spec, str) and prefix == "hf" and colon:
        drawn = None if stratified and "streaming" not in rest else limit
        opened = open_dataset(rest, rule, limit=drawn, seed=seed)
    elif isinstance(spec, str) and prefix in _OPENERS and (colon or prefix == "sample"):
        opened = _OPENERS[prefix](rest, rule)
    elif is_manifest(location):
        opened = open_manifest(location, rule)
    else:
        opened = open_folder(location, rule)
    return opened if limit is None else opened.sample(limit, seed=seed, stratified=stratified)
