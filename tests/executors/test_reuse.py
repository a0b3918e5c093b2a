"""Records that another evaluation of the same network has: nothing is computed twice, and what differs is made anew."""

import numpy as np
import pytest

from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.executors.reuse import ReusingExecutor
from robustcheck.notation import parse, register_defence, temporary_steps
from tests.toys import Linear, assert_same_records, classifier_of, images_for

VIEWS = ["x", "Adv_5", "JPG(Adv_5)", "Noise_3"]
OF_LABELS = ["PGD_4[steps=2,label=true]", "Worst(Adv_5; Noise_3)"]


@pytest.fixture(scope="module")
def images():
    return images_for(classifier_of(Linear()), 20, wrong=2)


@pytest.fixture(scope="module")
def source(images):
    return evaluated(images, [*VIEWS, *OF_LABELS, "Noise_3[draws=2]"])


class Counting(Linear):
    """Notes the sizes of its batches."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor
        self.seen = []

    def forward(self, images):
        self.seen = [*self.seen, len(images)]  # which is no state of the network, since it does so itself
        return self.factor * super().forward(images)


def evaluated(images, views, network=None, *, seed=0, **options):
    classifier = classifier_of(network or Counting())
    made = Evaluation(classifier, images, RunConfig(batch_size=8, seed=seed), **options)
    made.run(views)
    return made


def seen(made):
    """The sizes of the batches, but for what was tried of the network."""
    return [size for size in made.classifier.module.seen if size > 2]


def again(source, images, views, **options):
    return evaluated(images, views, executor=ReusingExecutor(source), **options)


def with_labels(images):
    labels = images.labels.copy()
    labels[2:4] = (labels[2:4] + 1) % 4
    return images.with_labels(labels)


def test_nothing_is_computed_where_nothing_differs(source, images):
    made = again(source, images, [*VIEWS, *OF_LABELS])
    assert not seen(made)
    assert_same_records(made.records, evaluated(images, [*VIEWS, *OF_LABELS]).records)


def test_other_labels_take_no_call_of_the_network(source, images):
    changed = with_labels(images)
    made = again(source, changed, VIEWS)
    assert not seen(made)
    assert_same_records(made.records, evaluated(changed, VIEWS).records)
    assert not np.array_equal(made.records.column("correct", "x"), source.records.column("correct", "x"))


def test_images_without_labels_have_no_column_correct(source, images):
    made = again(source, images.with_labels(np.full(20, -1)), ["Adv_5"])
    assert not seen(made)
    assert np.isnan(made.columns(parse("Adv_5"))["correct"]).all()


@pytest.mark.parametrize("view", [*OF_LABELS, "Noise_3[draws=2]"])
def test_views_that_depend_on_labels_are_computed(source, images, view):
    changed = with_labels(images)
    made = again(source, changed, [view])
    assert seen(made)
    assert_same_records(made.records, evaluated(changed, [view]).records)


def test_views_that_the_other_lacks_are_computed(source, images):
    made = again(source, images, ["JPG", "Adv_5"])
    assert seen(made)
    assert_same_records(made.records, evaluated(images, ["JPG", "Adv_5"]).records)


@pytest.mark.parametrize("what", ["weights", "attribute", "pixels", "names", "seed"])
def test_another_network_or_another_image_set_is_computed(images, what):
    source = evaluated(images, VIEWS, Counting())
    network, options = Counting(2.0 if what == "attribute" else 1.0), {}
    if what == "weights":
        network.weight.data[:, 0] += 1
    if what in {"pixels", "names"}:
        rows = np.arange(20)[::-1].copy()
        images = images.subset(rows) if what == "names" else images_for(classifier_of(Linear()), 20, seed=3)
    if what == "seed":
        options["seed"] = 1
    made = again(source, images, VIEWS, network=network, **options)
    assert seen(made)
    assert_same_records(made.records, evaluated(images, VIEWS, network, **options).records)


def test_network_that_can_not_be_compared_is_computed(source, images):
    network = Counting()
    network.opaque = iter(())
    assert seen(again(source, images, ["x"], network=network))


def test_steps_of_the_repository_are_reused_too(images):
    with temporary_steps():

        @register_defence("Mirror")
        def mirror(images):
            return images.flip(3)

        source = evaluated(images, ["Mirror(Adv_5)"])
        assert not seen(again(source, with_labels(images), ["Mirror(Adv_5)"]))
