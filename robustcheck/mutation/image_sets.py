"""Faults of the image set: its labels, and the images themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from robustcheck import jpeg
from robustcheck.images import ImageSet
from robustcheck.mutation.mutation import Mutation, Pixels, Setup, Subject, needs_labels

Labels = NDArray[np.int64]
_CLEAN = "a claim on clean images, with a threshold near what is measured, such as accuracy(x) >= 78% where it is 80%"
_SAME_IMAGES = "robustness.no_regression('x') against a saved baseline: it refuses another image set"
_COPIES = 8
_FIRST_AS_TEXT = 11
"""The number of classes from which their order as text is another one."""


def _labels(change: Callable[[Labels, int], Labels]) -> Callable[[Setup], Setup]:
    def changed(setup: Setup) -> Setup:
        images, classes = setup.images, setup.classifier.probe()
        return replace(setup, images=images.with_labels(change(images.labels, classes), images.class_names))

    return changed


def _as_text(labels: Labels, classes: int) -> Labels:
    place = np.argsort(np.argsort([str(index) for index in range(classes)]))
    return place[labels]


def _shuffled(labels: Labels, _classes: int) -> Labels:
    return np.random.default_rng(0).permutation(labels)


def _has_order_as_text(subject: Subject) -> str:
    if reason := needs_labels(subject):
        return reason
    few = subject.setup.classifier.probe() < _FIRST_AS_TEXT
    return "of fewer than 11 classes the order as text is that of the numbers" if few else ""


def _pixels(change: Pixels) -> Callable[[Setup], Setup]:
    def changed(setup: Setup) -> Setup:
        images = setup.images
        pixels = torch.cat([change(batch.pixels) for batch in images])
        made = ImageSet.from_arrays(
            pixels, images.labels, names=images.names, class_names=images.class_names, name=images.name
        )
        return replace(setup, images=made)

    return changed


def _duplicate(setup: Setup) -> Setup:
    positions = np.arange(len(setup.images)) // _COPIES * _COPIES
    return replace(setup, images=setup.images.subset(positions))


def _has_two(subject: Subject) -> str:
    return "" if len(subject.setup.images) > 1 else "there is one image"


MUTATIONS = (
    Mutation(
        "labels_shifted",
        "labels are one off, as where class numbers begin at 1",
        _CLEAN,
        _labels(lambda labels, classes: (labels + 1) % classes),
        needs_labels,
    ),
    Mutation(
        "labels_shuffled",
        "images have the labels of other images, as where two lists are sorted differently",
        _CLEAN,
        _labels(_shuffled),
        needs_labels,
    ),
    Mutation(
        "labels_sorted_as_text",
        "class numbers are those of folders sorted as text: 0, 1, 10, 11, 2, ...",
        _CLEAN,
        _labels(_as_text),
        _has_order_as_text,
    ),
    Mutation(
        "images_duplicated",
        "of every eight images seven are copies of the first",
        f"{_SAME_IMAGES}; the sanity suite's images_are_not_copies",
        _duplicate,
        _has_two,
    ),
    Mutation(
        "images_recompressed",
        "images were saved again as JPEG of quality 30 before they are evaluated",
        _SAME_IMAGES,
        _pixels(lambda pixels: jpeg.roundtrip(pixels, quality=30).cpu()),
    ),
    Mutation(
        "images_darkened",
        "images have half their brightness, as where 0..127 is taken for 0..255",
        _SAME_IMAGES,
        _pixels(lambda pixels: pixels // 2),
    ),
)
