"""What people keep images in beside lists and datasets: (X, y), DataLoaders, subsets, and where their class names are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    default_collate,
)

from robustcheck.errors import RobustcheckError
from robustcheck.images.sources.columns import LABELS

IMAGES = ("image", "img", "pixel_values", "pixels", "picture", "x")
_FIXTURE = "    @pytest.fixture(scope='session')\n    def robustcheck_images():\n        return "


@dataclass(frozen=True)
class LabelledImages:
    """Images and as many labels, from a pair (X, y)."""

    images: Sequence[Any]
    targets: Sequence[Any]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.images[index], self.targets[index]


def contents(images: Any, name: str) -> Any:
    """Return the dataset of a DataLoader, the items of a pair (X, y), and anything else as it is.

    RobustcheckError for a DataLoader whose images are not those of its dataset, each once, for images and labels of
    different number, for a dictionary, and for a data frame.
    """
    if isinstance(images, DataLoader):
        return _dataset(images, name)
    if isinstance(images, Mapping):
        keys = ", ".join(repr(str(key)) for key in list(images)[:6])
        raise RobustcheckError(
            f"{name} must be images, or a pair (X, y) of images and labels, got a {type(images).__name__} with {keys}: give "
            "the parts that you mean, as (data['images'], data['labels']), or the split, as datasets['test']"
        )
    if type(images).__module__.partition(".")[0] in {"pandas", "polars"}:
        return _column(images, name)
    if _is_pair(images):
        if len(images[0]) != len(images[1]):
            raise RobustcheckError(
                f"{name} must have a label for each image, got {len(images[0])} images and {len(images[1])} labels"
            )
        return LabelledImages(*images)
    _check_labels_of_batch(images, name)
    return images


def _check_labels_of_batch(images: Any, name: str) -> None:
    """Raise `RobustcheckError` for a batch of images with what are not labels, one for each image."""
    arrays = (np.ndarray, torch.Tensor)
    if not isinstance(images, (tuple, list)) or len(images) != 2 or not isinstance(images[0], arrays):
        return
    labels = images[1]
    if images[0].ndim != 4 or not (labels is None or (isinstance(labels, arrays) and labels.ndim in (0, 2))):
        return
    got = "None" if labels is None else f"labels of shape {tuple(labels.shape)}"
    hint = (
        "X alone, where there are no labels"
        if labels is None
        else "(X, y.argmax(1)), where labels are one-hot"
    )
    if labels is not None and tuple(labels.shape[1:]) == (1,):
        hint = "(X, y[:, 0])"
    raise RobustcheckError(
        f"{name} must be a pair (X, y) with a class for each image in y, got {got}: give {hint}"
    )


def _column(images: Any, name: str) -> list[Any]:
    """Return the items of a pandas or polars column in order, whose index may be any; refuse a whole data frame."""
    if hasattr(images, "columns"):
        raise RobustcheckError(
            f"{name} must be images, or a pair (X, y) of images and labels, got a {type(images).__name__}: of images give "
            "(list(frame['image']), list(frame['label'])), of paths write a table, frame.to_csv('images.csv'), and name it"
        )
    return list(images)


def class_names(images: Any) -> list[str] | None:
    """Return the names of a dataset's classes, in the order of their indices: torchvision's `classes`, or a feature's."""
    while isinstance(images, DataLoader | Subset):
        images = images.dataset
    names = getattr(images, "classes", None)
    features = getattr(images, "features", None)
    if names is None and isinstance(features, Mapping):
        names = next((getattr(features[key], "names", None) for key in LABELS if key in features), None)
    is_named = isinstance(names, (list, tuple)) and all(isinstance(each, str) for each in names)
    return list(names) if is_named and names else None


def lines_for_pixels(images: Any) -> str:
    """Return the three lines of code with which a container gives pixels that are not normalised."""
    while isinstance(images, DataLoader | Subset):
        images = images.dataset
    if getattr(images, "transform", None) is not None:
        return (
            "\n    dataset = copy.copy(dataset)"
            "\n    dataset.transform = None  # PIL images: the classifier resizes and normalises"
            "\n    return dataset"
        )
    return (
        "\n    mean, std = torch.tensor(MEAN).view(-1, 1, 1), torch.tensor(STD).view(-1, 1, 1)"
        "\n    pixels = ((X * std + mean) * 255).round().clamp(0, 255).byte()  # undo the normalisation"
        "\n    return pixels, y"
    )


def _dataset(loader: DataLoader[Any], name: str) -> Any:
    """Return the dataset of a loader that gives each of its items once and unchanged, in whatever order."""
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    own = ""
    if type(loader.batch_sampler) not in (BatchSampler, type(None)):
        own = f"the batch_sampler {type(loader.batch_sampler).__name__}"
    elif not _takes_each_once(sampler, loader.dataset):
        own = f"the sampler {type(sampler).__name__}"
    if own and not isinstance(loader.dataset, IterableDataset):
        raise RobustcheckError(
            f"{name} must be each image once, got a DataLoader with {own}: give the images that you mean, by\n"
            f"{_FIXTURE}torch.utils.data.Subset(dataset, indices)"
        )
    if loader.batch_size is not None and loader.collate_fn is not default_collate:
        raise RobustcheckError(
            f"{name} must be images as they are, got a DataLoader with the collate_fn "
            f"{getattr(loader.collate_fn, '__name__', type(loader.collate_fn).__name__)}, which may change them: give its dataset, "
            f"of images or (image, label), by\n{_FIXTURE}loader.dataset"
        )
    return loader.dataset


def _takes_each_once(sampler: object, dataset: Any) -> bool:
    if type(sampler) is RandomSampler:  # shuffle=True
        return not sampler.replacement and sampler.num_samples == len(dataset)
    return type(sampler) is SequentialSampler


def _is_pair(images: Any) -> bool:
    """Whether a tuple or list is (X, y): images, and a label for each, rather than two images or two items."""
    if not isinstance(images, (tuple, list)) or len(images) != 2:
        return False
    pixels, labels = images
    if isinstance(pixels, np.ndarray) and pixels.dtype == object:
        has_images = bool(len(pixels)) and not _is_label(pixels[0])
    elif isinstance(pixels, (np.ndarray, torch.Tensor)):
        has_images = pixels.ndim in (3, 4)
    else:
        has_images = isinstance(pixels, (list, tuple)) and bool(pixels) and not _is_label(pixels[0])
    return has_images and _are_labels(labels)


def _are_labels(labels: Any) -> bool:
    if isinstance(labels, (np.ndarray, torch.Tensor)):
        return labels.ndim == 1
    return isinstance(labels, (list, tuple)) and all(map(_is_label, labels))


def _is_label(value: Any) -> bool:
    is_scalar = isinstance(value, (np.generic, np.ndarray, torch.Tensor)) and value.ndim == 0
    return is_scalar or value is None or isinstance(value, (int, float, str))
