"""Images that the user's own code gives: a torch Dataset, a list, a generator, a dataset of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from contextlib import suppress
from functools import partial
from itertools import count
from threading import Lock
from typing import Any

import numpy as np
import torch
from PIL import Image

from robustcheck.errors import RobustcheckError
from robustcheck.images.decoding import BadImage, Pixels, fit
from robustcheck.images.image_set import ImageSet
from robustcheck.images.sources.columns import LABELS, as_labels
from robustcheck.models.preprocessing import Preprocessing

_IMAGES = ("image", "img", "pixel_values", "pixels", "picture", "x")
_NEARLY = 1e-3  # of a level: what dividing by 255 and multiplying again may lose


def image_set_of(given: Any, preprocessing: Preprocessing, *, name: str) -> ImageSet:
    """The images of an object of the user's, brought to the classifier's size.

    `given` is indexable with a length, as a torch Dataset or a list, and read when an image is needed; or it
    can be iterated over, ends, and is read once into memory. Its items are images, pairs of image and label,
    or dictionaries. An image is a PIL image, or an array or tensor of uint8 in 0..255 (or floats in 0..1 that
    are those) of shape (3, H, W), (H, W, 3) or (H, W); one of exactly the classifier's size is taken as it is.
    Labels are class indices or names; class names are those in `given.classes`.

    RobustcheckError for anything else, with the item.
    """
    if _is_indexable(given):
        return _from_indexable(given, preprocessing, name)
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping)):
        return _from_iterable(given, preprocessing, name)
    raise RobustcheckError(
        f"{name} returned {type(given).__name__}; it is to return a folder, an ImageSet (ImageSet.from_arrays(pixels, "
        "labels) makes one of arrays), a torch Dataset, or an iterable of (image, label)"
    )


def _is_indexable(given: Any) -> bool:
    return (
        isinstance(given, Sized)
        and hasattr(given, "__getitem__")
        and not isinstance(given, (str, bytes, Mapping))
    )


def _from_indexable(given: Any, preprocessing: Preprocessing, name: str) -> ImageSet:
    if not len(given):
        raise RobustcheckError(f"{name} returned a {type(given).__name__} without images: give at least one")
    lock, where = Lock(), [f"{name}[{index}]" for index in range(len(given))]
    labels = _targets(given)
    if labels is None:  # to know them, each item has to be asked for
        labels = [
            _taken_apart(_item(given, index, lock, where[index]), where[index])[1]
            for index in range(len(given))
        ]
    read = partial(_read, given, lock, preprocessing, where)
    with suppress(
        BadImage
    ):  # which is for the policy on such; that items are no images at all is said at once
        read(0)
    return _labelled(read, labels, where, given, name)


def _from_iterable(given: Iterable[Any], preprocessing: Preprocessing, name: str) -> ImageSet:
    kept: list[Pixels] = []
    labels, where = [], []
    iterator = iter(given)
    for index in count():
        place = f"{name}, item {index}"
        try:
            item = next(iterator)
        except StopIteration:
            break
        except Exception as error:
            raise RobustcheckError(
                f"{place}: the iterable failed with {type(error).__name__}: {error}; mend it, or give a list"
            ) from error
        image, label = _taken_apart(item, place)
        kept.append(_pixels(image, preprocessing, place))
        labels.append(label)
        where.append(place)
    if not kept:
        raise RobustcheckError(
            f"{name} returned a {type(given).__name__} that gave no image; was it used up before? Give a list, or make it anew"
        )
    return _labelled(kept.__getitem__, labels, where, given, name)


def _labelled(read: Any, labels: Sequence[Any], where: Sequence[str], given: Any, name: str) -> ImageSet:
    indices, names = as_labels(labels, where)
    classes = getattr(given, "classes", None)
    if (
        names is None
        and isinstance(classes, (list, tuple))
        and all(isinstance(each, str) for each in classes)
    ):
        names = list(classes)
    return ImageSet(
        read, names=where, name=f"{name} ({type(given).__name__})", labels=indices, class_names=names
    )


def _targets(given: Any) -> Sequence[Any] | None:
    """The labels that torchvision's datasets keep in a list, so that no image is decoded for them."""
    targets = getattr(given, "targets", None)
    if isinstance(targets, torch.Tensor):
        targets = targets.tolist()
    is_whole = isinstance(targets, (list, tuple)) and len(targets) == len(given)
    return targets if is_whole and getattr(given, "target_transform", None) is None else None


def _item(given: Any, index: int, lock: Lock, where: str) -> Any:
    try:
        with lock:  # a dataset of the user's may read one file through one handle
            return given[index]
    except RobustcheckError:
        raise
    except Exception as error:
        raise BadImage(
            where, f"could not be had from its dataset ({type(error).__name__}: {error})"
        ) from error


def _read(given: Any, lock: Lock, preprocessing: Preprocessing, where: Sequence[str], index: int) -> Pixels:
    return _pixels(
        _taken_apart(_item(given, index, lock, where[index]), where[index])[0], preprocessing, where[index]
    )


def _taken_apart(item: Any, where: str) -> tuple[Any, Any]:
    """The image and the label of an item; None for no label."""
    if isinstance(item, Mapping):
        image = next((item[key] for key in _IMAGES if key in item), None)
        if image is None:
            raise RobustcheckError(
                f"{where} is a dictionary with {', '.join(map(str, item)) or 'nothing'}; call the image image, the label label"
            )
        return image, _plain(next((item[key] for key in LABELS if key in item), None), where)
    if isinstance(item, (tuple, list)):
        if not 1 <= len(item) <= 2:
            raise RobustcheckError(f"{where} is a {type(item).__name__} of {len(item)}; give (image, label)")
        return item[0], _plain(item[1], where) if len(item) == 2 else None
    return item, None


def _plain(label: Any, where: str) -> Any:
    if isinstance(label, (torch.Tensor, np.ndarray, np.generic)):
        if label.ndim or (isinstance(label, torch.Tensor) and label.numel() != 1):
            raise RobustcheckError(
                f"{where}: the label has shape {tuple(label.shape)}; give one class index for each image"
            )
        label = label.item()
    if label is None or isinstance(label, (int, float, str)):
        return label
    raise RobustcheckError(
        f"{where}: the label is a {type(label).__name__}; give a class index or a class name"
    )


def _pixels(image: Any, preprocessing: Preprocessing, where: str) -> Pixels:
    if isinstance(image, Image.Image):
        return fit(image.convert("RGB"), preprocessing)
    array = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else image
    if not isinstance(array, np.ndarray):
        raise RobustcheckError(
            f"{where} holds a {type(image).__name__}; an image is a PIL image, an array or a tensor"
        )
    levels = _levels(array, where)
    if levels.shape == (3, *preprocessing.input_size):
        return np.ascontiguousarray(levels)
    return fit(Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0))), preprocessing)


def _levels(array: np.ndarray[Any, Any], where: str) -> Pixels:
    """The array as uint8 (3, H, W)."""
    if array.ndim == 2:
        array = np.stack([array] * 3)
    if array.ndim == 3 and array.shape[0] == 1:
        array = np.repeat(array, 3, axis=0)
    if array.ndim == 3 and array.shape[0] != 3 and array.shape[2] == 3:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[0] != 3 or 0 in array.shape:
        raise RobustcheckError(f"{where} has shape {array.shape}; give (3, H, W), (H, W, 3) or (H, W)")
    if array.dtype == np.uint8:
        given: Pixels = array
        return given
    if not np.issubdtype(array.dtype, np.floating):
        raise RobustcheckError(f"{where} is {array.dtype}; give uint8 in 0..255")
    scaled = array.astype(np.float64) * 255
    levels = np.rint(scaled)
    if not (np.abs(scaled - levels) <= _NEARLY).all() or levels.min() < 0 or levels.max() > 255:
        raise RobustcheckError(
            f"{where} is {array.dtype} from {array.min():.3g} to {array.max():.3g}, which are no pixel levels: leave out the "
            "normalisation and the resizing (the classifier brings its own), and give PIL images or uint8 in 0..255"
        )
    in_bytes: Pixels = levels.astype(np.uint8)
    return in_bytes
