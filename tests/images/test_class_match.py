from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from robustcheck import Classifier, ImageSet, RobustcheckError, RobustnessWarning
from robustcheck.images import match_classes
from robustcheck.models.imagenet_classes import class_names, sorted_wnids

IMAGENET = class_names()


class Flat(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, x):
        return self.head(x.mean((2, 3)))


@pytest.fixture
def classifier():
    def make(names, count=None):
        net = Flat(count or len(names)).eval()
        return Classifier(
            net, mean=(0,) * 3, std=(1,) * 3, input_size=8, device="cpu", class_names=names, name="net"
        )

    return make


def images(names, labels=None):
    count = len(names)
    pixels = torch.zeros(count, 3, 8, 8, dtype=torch.uint8)
    return ImageSet.from_arrays(
        pixels, range(count) if labels is None else labels, class_names=names, name="set"
    )


@pytest.mark.parametrize(
    ("mine", "theirs", "labels"),
    [
        (["cat", "dog"], ["dog", "bird", "cat"], [2, 0]),
        (["Great_White-shark", "CAT"], ["cat", "great white shark, white shark"], [1, 0]),
        (["bleut\u0065\u0301", "th\u00e9"], ["th\u0065\u0301", "vert", "bleut\u00e9"], [2, 0]),
        (["STRASSE", "A\u030angstrom"], ["\u00e5ngstrom", "stra\u00dfe"], [1, 0]),
        (["tench", "kit_fox"], IMAGENET, [0, 278]),
        (["n02119789", "n01440764"], IMAGENET, [278, 0]),
        (["n02119789", "n01440764"], ["n01440764", "n02119789"], [1, 0]),
        (["n02119789"], [f"{name}, another name" for name in IMAGENET], [278]),
    ],
)
def test_classes_are_matched_by_name_where_both_are_known(classifier, mine, theirs, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matched = match_classes(images(mine), classifier(theirs))
    assert matched.labels.tolist() == labels
    assert "classes by " in str(matched.provenance(complete=False))
    again = match_classes(matched, classifier(theirs))
    assert again.labels.tolist() == labels


def test_a_classifier_of_1000_nameless_classes_has_imagenets(classifier):
    matched = match_classes(images(["n02119789", "n01440764"]), classifier(None, 1000))
    assert matched.labels.tolist() == [278, 0]
    assert "classes by WordNet id" in str(matched.provenance(complete=False))


def test_images_without_a_label_stay_so(classifier):
    matched = match_classes(images(["cat", "dog", "cow"], [2, -1, 0]), classifier(["cow", "dog", "cat"]))
    assert matched.labels.tolist() == [0, -1, 2]


def test_the_same_names_in_the_same_order_need_no_remark(classifier):
    matched = match_classes(images(["cat", "dog"]), classifier(["cat", "dog"]))
    assert matched.labels.tolist() == [0, 1]
    assert str(matched.provenance(complete=False)) == "set, 2 images"


def test_order_counts_where_a_side_has_no_names_and_that_is_said(classifier):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matched = match_classes(images(["cat", "dog"]), classifier(None, 2))
        assert (
            match_classes(
                ImageSet.from_arrays(np.zeros((1, 3, 8, 8), np.uint8)), classifier(["a", "b"])
            ).notes
            == ()
        )
    assert matched.labels.tolist() == [0, 1]
    assert str(matched.provenance(complete=False)) == "set, 2 images, classes by order"


@pytest.mark.parametrize(
    ("mine", "theirs", "why"),
    [
        (["cat", "dog"], ["bird", "fish", "worm"], "set has 2 classes and net has 3"),
        (["cat", "dog"], ["bird", "fish"], "only 0 of the class names agree"),
        (["crane", "kite2"], ["crane", "crane"], "only 0 of the class names agree"),
    ],
)
def test_order_against_other_names_warns(classifier, mine, theirs, why):
    with pytest.warns(
        RobustnessWarning,
        match=rf"{why}: folders are matched to classes by order .*'{mine[0]}' as '{theirs[0]}'",
    ):
        assert match_classes(images(mine), classifier(theirs)).labels.tolist() == [0, 1]


def test_names_of_which_some_are_the_classifiers_are_refused(classifier):
    with pytest.raises(
        RobustcheckError, match=r"1 of the 3 classes of set are not among net's, .*'catt': did you mean 'cat'"
    ):
        match_classes(images(["catt", "dog", "cow"]), classifier(["cat", "dog", "cow", "bird"]))
    with pytest.raises(
        RobustcheckError,
        match=r"net has several classes called 'cardigan', and set has one: name the folders",
    ):
        match_classes(images(["cardigan", "tench"]), classifier(IMAGENET))
    with pytest.raises(RobustcheckError, match=r"unknown class 'n00000001'"):
        match_classes(images(["n01440764", "n00000001"]), classifier(IMAGENET))


def test_wnids_stand_in_the_order_of_the_names():
    assert dict(zip(sorted_wnids(), IMAGENET, strict=True))["n02123045"] == "tabby"
