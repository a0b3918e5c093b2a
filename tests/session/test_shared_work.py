"""What evaluations under mutations share with those without any."""

import numpy as np
import pytest
from torch import nn

from robustcheck import ImageSet
from robustcheck.evaluation import Evaluation
from robustcheck.session.shared_work import SharedWork
from tests.toys import Linear, classifier_of, images_for, random_pixels


class Reader:
    """Images that count how often they are read."""

    def __init__(self, count):
        self.pixels, self.reads = random_pixels(count), 0

    def __call__(self, position):
        self.reads += 1
        return self.pixels[position]

    def open(self):
        names = [str(position) for position in range(len(self.pixels))]
        return ImageSet(self, names=names, name="some", labels=np.zeros(len(names), int)), 1000


@pytest.mark.parametrize(("count", "times"), [(20, 1), (300, 3)])  # of many the pixels are not held
def test_few_images_of_a_spec_are_decoded_once(count, times):
    reader, shared = Reader(count), SharedWork()
    for mean in (0.5, 0.4, 0.5):
        few, population = shared.drawn("some", classifier_of(Linear(), mean=(mean,) * 3), reader.open)
        assert population == 1000
        assert sum(len(batch) for batch in few.subset(range(count))) == count
    assert reader.reads == times * count


@pytest.mark.parametrize("change", [{"resize": 20}, {"interpolation": "nearest"}])
def test_another_rule_of_resizing_reads_them_again(change):
    reader, shared = Reader(4), SharedWork()
    for options in ({}, change):
        few, _ = shared.drawn("some", classifier_of(Linear(), **options), reader.open)
        list(few)
    assert reader.reads == 8


def test_images_that_are_no_spec_are_opened_each_time():
    shared, opened = SharedWork(), []
    for _ in range(2):
        shared.drawn([1, 2], classifier_of(Linear()), lambda: opened.append(1) or Reader(2).open())
    assert len(opened) == 2


class Kernel(nn.Module):
    """A network with a convolution, that counts its passes."""

    def __init__(self, weight):
        super().__init__()
        self.layer, self.passes = nn.Conv2d(3, 4, 16), 0
        nn.init.constant_(self.layer.weight, weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, images):
        self.passes += 1
        return self.layer(images).flatten(1)


def test_what_was_found_of_a_network_is_taken_over_for_the_same_alone():
    shared = SharedWork()
    evaluation = Evaluation(classifier_of(Kernel(1.0)), images_for(classifier_of(Linear())))
    evaluation.classifier.probe()
    shared.add(evaluation)
    same, other = classifier_of(Kernel(1.0)), classifier_of(Kernel(2.0))
    assert shared.of_network(same) is evaluation
    assert same.channels_last == evaluation.classifier.channels_last
    assert same.class_count == 4
    assert same.module.passes == 0
    assert shared.of_network(other) is None
    assert other.class_count is None
