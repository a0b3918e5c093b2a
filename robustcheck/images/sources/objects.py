"""Images from the user's own code: a torch Dataset, a list, a generator, a dataset of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import PurePath
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch.utils.data import IterableDataset

from robustcheck.errors import RobustcheckError
from robustcheck.images.decoding import BadImage, Pixels, fit_image
from robustcheck.images.image_set import ImageSet
from robustcheck.images.source import Source
from robustcheck.images.sources.columns import LABELS, as_labels
from robustcheck.images.sources.containers import IMAGES, class_names, contents, lines_for_pixels
from robustcheck.limits import check
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.text import first_line, listed

_Read: TypeAlias = tuple[Source, Sequence[Any], Sequence[str]]
"""The pixels, the labels, and where each image is, for errors."""
_TOLERANCE = 1e-3  # of a level, for the rounding of x / 255 * 255
_HALF_TOLERANCE = 0.07  # in 16 bits


def image_set_of(images: Any, preprocessing: Preprocessing, *, name: str) -> ImageSet:
    """Return the images of a user's object, at the classifier's size.

    `images` is indexable and has a length, as a torch Dataset, a list or an array, and is read when an image is needed;
    or it is a finite iterable, and is read once into memory; or a pair (X, y) of images and their labels; or a DataLoader,
    in whose place its dataset is read. Its items are images, pairs of image and label,
    or dictionaries. An image is a PIL image, or an array or tensor of uint8 in 0..255 (or floats in 0..1 that
    are n/255) of shape (3, H, W), (H, W, 3) or (H, W); an array or tensor of exactly the classifier's size is used as
    it is. PIL images are treated as files are: resized, rotated by their EXIF, 16-bit PNG scaled, others with more than
    8 bits a sample refused. Labels are class indices or names; class names are those in `images.classes`.

    RobustcheckError for anything else, with the item.
    """
    shown, items = f"{name} ({type(images).__name__})", contents(images, name)
    try:
        if _is_indexable(items):
            return _labelled(*_from_indexable(items, preprocessing, name), class_names(images), shown)
        if isinstance(items, Iterable) and not isinstance(items, (str, bytes)):
            return _labelled(*_from_iterable(items, preprocessing, name), class_names(images), shown)
    except _NotPixelsError as error:
        raise RobustcheckError(f"{error}, as by{lines_for_pixels(images)}") from None
    if hasattr(images, "__getitem__") and not isinstance(images, (str, bytes)):
        raise RobustcheckError(
            f"{name} must have a length, got {type(images).__name__} without __len__: give it one, the number of images"
        )
    raise RobustcheckError(
        f"{name} must be a folder, an ImageSet (as of ImageSet.from_arrays(pixels, labels)), a torch Dataset, (X, y), or an "
        f"iterable of (image, label), got {type(images).__name__}"
    )


class _NotPixelsError(RobustcheckError):
    """An image that is normalised, or else no pixel levels."""


def _is_indexable(images: Any) -> bool:
    return (
        isinstance(images, Sized)
        and hasattr(images, "__getitem__")
        and not isinstance(images, (str, bytes, Mapping, IterableDataset))
    )


def _length(images: Any, name: str) -> int:
    try:
        return len(images)
    except Exception as error:
        raise RobustcheckError(
            f"{name} must have a length, got {type(error).__name__} of its __len__ ({first_line(error)}): return the number of "
            "images there, or give a generator of (image, label)"
        ) from error


def _from_indexable(images: Any, preprocessing: Preprocessing, name: str) -> _Read:
    if not (length := _length(images, name)):
        raise RobustcheckError(f"{name} must hold at least one image, got an empty {type(images).__name__}")
    lock, where = Lock(), [f"{name}[{index}]" for index in range(length)]
    labels = _targets(images)
    if labels is not None:
        labels = [_plain_label(label, place) for label, place in zip(labels, where, strict=True)]
    else:  # only the items have them
        labels = [_label_of(images, index, lock, place) for index, place in enumerate(where)]
    first = None
    with suppress(BadImage):  # is for the policy on bad images; an item of the wrong type raises here
        first = _image_and_label(_item(images, 0, lock, where[0]), where[0])[0]
        _pixels(first, preprocessing, where[0])
    read = partial(_read, images, lock, preprocessing, where)
    source = Source(read, is_resized=not _is_array_of_size(first, preprocessing))
    return source, labels, where


def _from_iterable(images: Iterable[Any], preprocessing: Preprocessing, name: str) -> _Read:
    kept: list[Pixels | BadImage] = []
    labels, where = [], []
    iterator, is_resized, held = iter(images), False, 0
    for index in count():
        place = f"{name}, item {index}"
        check(
            "item-bytes",
            held,
            f"{name}, an iterable that is read into memory, gave {index} images and does not end: they are",
        )
        try:
            item = next(iterator)
        except StopIteration:
            break
        except Exception as error:
            raise RobustcheckError(
                f"{place}: the iterable failed with {type(error).__name__}: {error}; repair it, or give a list"
            ) from error
        image, label = _image_and_label(item, place)
        is_resized = is_resized or not _is_array_of_size(image, preprocessing)
        try:
            pixels = _pixels(image, preprocessing, place)
            kept.append(pixels)
            held += pixels.nbytes
        except BadImage as bad:  # is for the policy on bad images, as one of a list is
            kept.append(bad)
        labels.append(label)
        where.append(place)
    if not kept:
        raise RobustcheckError(
            f"{name} must hold at least one image, got an exhausted {type(images).__name__}: give a list, or create it anew"
        )
    source = Source(partial(_kept, kept), is_resized=is_resized)
    return source, labels, where


def _kept(kept: Sequence[Pixels | BadImage], index: int) -> Pixels:
    image = kept[index]
    if isinstance(image, BadImage):
        raise BadImage(image.name, image.reason)
    return image


def _labelled(
    source: Source, labels: Sequence[Any], where: Sequence[str], classes: list[str] | None, shown: str
) -> ImageSet:
    indices, names = as_labels(labels, where)
    if names is not None and classes is not None:
        if unknown_names := sorted({*names} - {*classes}):
            raise RobustcheckError(
                f"labels of {shown} must be among its classes, {listed(classes, 10)}, got {unknown_names[0]!r}"
            )
        indices = [classes.index(names[index]) if index >= 0 else index for index in indices]
    numbered = [f"image {index}" for index in range(len(where))]
    made = ImageSet(source, names=numbered, name=shown, labels=indices, class_names=classes or names)
    made.has_sorted_names = classes is None and names is not None
    return made


def _targets(images: Any) -> Sequence[Any] | None:
    """Return the labels that torchvision's datasets keep in a list, so that no image is decoded for them."""
    targets = getattr(images, "targets", None)
    if isinstance(targets, (torch.Tensor, np.ndarray)):
        targets = targets.tolist()
    is_whole = isinstance(targets, (list, tuple)) and len(targets) == len(images)
    return targets if is_whole and getattr(images, "target_transform", None) is None else None


def _item(images: Any, index: int, lock: Lock, where: str) -> Any:
    try:
        with lock:  # a user's dataset may read one file through one handle
            return images[index]
    except RobustcheckError:
        raise
    except Exception as error:
        raise BadImage(
            where, f"could not be read from its dataset ({type(error).__name__}: {first_line(error)})"
        ) from error


def _label_of(images: Any, index: int, lock: Lock, where: str) -> Any:
    try:
        return _image_and_label(_item(images, index, lock, where), where)[1]
    except BadImage:  # is read again where its pixels are needed, and handled by the policy on bad images
        return None


def _read(images: Any, lock: Lock, preprocessing: Preprocessing, where: Sequence[str], index: int) -> Pixels:
    image, _label = _image_and_label(_item(images, index, lock, where[index]), where[index])
    return _pixels(image, preprocessing, where[index])


def _image_and_label(item: Any, where: str) -> tuple[Any, Any]:
    """Return the image and the label of an item; None for no label."""
    first = item[0] if isinstance(item, (tuple, list)) and item else item
    if isinstance(first, (torch.Tensor, np.ndarray)) and first.ndim > 3:
        raise RobustcheckError(
            f"{where} must be one image, or (image, label), got a batch of shape {tuple(first.shape)}: give the dataset itself, a "
            "list of (image, label), or the pair (X, y) of all images and all labels"
        )
    if isinstance(item, Mapping):
        image = next((item[key] for key in IMAGES if key in item), None)
        if image is None:
            raise RobustcheckError(
                f"{where} must have the keys image and label, got {', '.join(map(str, item)) or 'an empty dictionary'}"
            )
        return image, _plain_label(next((item[key] for key in LABELS if key in item), None), where)
    if isinstance(item, (tuple, list)):
        if not 1 <= len(item) <= 2:
            raise RobustcheckError(
                f"{where} must be (image, label), got a {type(item).__name__} of {len(item)}"
            )
        return item[0], _plain_label(item[1], where) if len(item) == 2 else None
    return item, None


def _plain_label(label: Any, where: str) -> Any:
    if isinstance(label, (torch.Tensor, np.ndarray, np.generic)):
        if label.ndim or (isinstance(label, torch.Tensor) and label.numel() != 1):
            raise RobustcheckError(
                f"{where}: the label must be one class index, got shape {tuple(label.shape)}: of a one-hot label give "
                "label.argmax(); several classes for one image can't be evaluated"
            )
        label = label.item()
    if label is None or (isinstance(label, (int, float, str)) and not isinstance(label, bool)):
        return label
    advice = ": give int(label), with True as class 1" if isinstance(label, bool) else ""
    raise RobustcheckError(
        f"{where}: the label must be a class index or a class name, got {type(label).__name__}{advice}"
    )


def _pixels(image: Any, preprocessing: Preprocessing, where: str) -> Pixels:
    if isinstance(image, Image.Image):
        return fit_image(image, preprocessing, where)
    array = _as_array(image, where) if isinstance(image, torch.Tensor) else image
    if not isinstance(array, np.ndarray):
        raise RobustcheckError(
            f"{where} must be a PIL image, an array or a tensor, got {type(image).__name__}"
            + (
                ": give PIL.Image.open(path), or a table of paths (.csv)"
                if isinstance(image, (str, PurePath))
                else ""
            )
        )
    tolerance = _HALF_TOLERANCE if image.dtype in {torch.float16, np.dtype(np.float16)} else _TOLERANCE
    levels = _levels(np.asarray(array), where, tolerance)
    if levels.shape == (3, *preprocessing.input_size):
        return np.ascontiguousarray(levels)
    return fit_image(Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0))), preprocessing, where)


def _is_array_of_size(image: Any, preprocessing: Preprocessing) -> bool:
    """Return whether an image is an array or a tensor of the input size, which is taken as it is."""
    height, width = preprocessing.input_size
    shapes = {(3, height, width), (1, height, width), (height, width, 3), (height, width)}
    return not isinstance(image, Image.Image) and tuple(getattr(image, "shape", ())) in shapes


def _as_array(image: torch.Tensor, where: str) -> np.ndarray[Any, Any]:
    """Return a tensor as an array, which has no bfloat16 and no 8-bit floats."""
    try:
        plain = image.detach().to("cpu", torch.float32 if image.is_floating_point() else image.dtype)
        array: np.ndarray[Any, Any] = plain.numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise RobustcheckError(
            f"{where} must be a dense tensor of uint8, or of floats that are n/255, got {image.dtype} on {image.device} "
            f"({first_line(error)}): give images.cpu()"
        ) from None
    return array


def _levels(array: np.ndarray[Any, Any], where: str, tolerance: float) -> Pixels:
    """Return the array as uint8 (3, H, W); floats may be off by `tolerance` levels."""
    if array.ndim == 2:
        array = np.stack([array] * 3)
    if array.ndim == 3 and array.shape[0] == 1:
        array = np.repeat(array, 3, axis=0)
    if array.ndim == 3 and array.shape[0] != 3 and array.shape[2] == 3:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[0] != 3 or 0 in array.shape:
        raise RobustcheckError(f"{where} must have shape (3, H, W), (H, W, 3) or (H, W), got {array.shape}")
    if array.dtype == np.uint8:
        levels: Pixels = array
        return levels
    advice = "give images.astype('uint8'), or of a tensor images.byte()"
    if not np.issubdtype(array.dtype, np.floating):
        in_range = array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255
        raise RobustcheckError(
            f"{where} must be uint8 in 0..255, got {array.dtype}{': ' + advice if in_range else ''}"
        )
    scaled = array.astype(np.float64) * 255
    levels = np.rint(scaled)
    if not (np.abs(scaled - levels) <= tolerance).all() or levels.min() < 0 or levels.max() > 255:
        if 1 < array.max() <= 255 and array.min() >= 0 and (array == np.rint(array)).all():
            raise RobustcheckError(
                f"{where} must be uint8 in 0..255, or floats in 0..1, got {array.dtype} up to {array.max():g}: {advice} if "
                "255 is white"
            )
        raise _NotPixelsError(
            f"{where} must be pixel levels, got {array.dtype} from {array.min():.3g} to {array.max():.3g}: remove normalisation "
            "and resizing (the classifier has its own), and give PIL images or uint8 in 0..255"
        )
    in_bytes: Pixels = levels.astype(np.uint8)
    return in_bytes
