"""What travels to a worker, and what is made of it there."""

import numpy as np
import pytest
import torch

from robustcheck import Classifier, ImageSet, RobustcheckError, open_images
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.executors.ray.payload import (
    load_classifier,
    load_evaluation,
    pixels_of,
    serialize_classifier,
    serialize_evaluation,
)
from robustcheck.options.workers import WorkerOptions

cloudpickle = pytest.importorskip("ray.cloudpickle", reason="the extra `ray` is not installed")


class Locked(torch.nn.Flatten):
    """A network that can't be pickled."""

    def __reduce__(self):
        raise TypeError("cannot pickle it")


def classifier_of(module):
    return Classifier(module.eval(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="cpu")


@pytest.fixture
def classifier():
    return classifier_of(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 4)))


@pytest.fixture
def folder(tmp_path):
    from PIL import Image

    for index in range(10):
        noise = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{index}.png")
    return tmp_path


def sent(evaluation, options=None, load=None):
    classifier = load_classifier(serialize_classifier(evaluation.classifier, cloudpickle, load), "cpu")
    data, _ = serialize_evaluation(evaluation.workload, options or WorkerOptions(), cloudpickle)
    return load_evaluation(classifier, data)


def test_it_is_the_same_evaluation(classifier, toy_images):
    evaluation = Evaluation(classifier, toy_images, RunConfig(3, 4, optimize="none", shard_size=8))
    there, _ = sent(evaluation)
    assert there.classifier is not classifier
    assert there.classifier.fingerprint == classifier.fingerprint
    assert there.provenance == evaluation.provenance
    assert (there.config.seed, there.batch_size, there.shards.size) == (3, 4, 8)
    assert np.array_equal(there.order, evaluation.order)


def test_images_of_files_go_as_paths_and_others_as_pixels(classifier, folder, toy_images):
    files = open_images(folder, size=classifier.preprocessing)
    for images in (files, files.subset([7, 3])):
        there, pixels = sent(Evaluation(classifier, images))
        assert pixels is None
        assert there.images.ids == images.ids
    for images, options in ((files, WorkerOptions(images="pixels")), (toy_images, None)):
        evaluation = Evaluation(classifier, images)
        there, pixels = sent(evaluation, options)
        rows = np.array([2, 0])
        pixels.by_position = dict(zip(rows.tolist(), pixels_of(images, rows), strict=True))
        (batch,) = there.images.batches(2, rows)
        assert batch.ids == (images.ids[2], images.ids[0])


def test_a_network_that_can_not_be_pickled_is_loaded_there_or_refused(classifier, toy_images):
    evaluation = Evaluation(classifier_of(Locked()), toy_images)
    with pytest.raises(RobustcheckError, match=r"(?s)cannot pickle it.*name it by a spec"):
        sent(evaluation)
    there, _ = sent(evaluation, load=lambda: classifier)
    assert there.classifier is classifier


def test_images_that_can_not_be_pickled_are_refused_with_the_way_out(classifier, folder):
    images = open_images(folder, size=classifier.preprocessing)
    images.names = (*images.names[:-1], Locked())
    with pytest.raises(RobustcheckError, match=r"images:pixels"):
        sent(Evaluation(classifier, images))


def test_an_image_that_is_another_elsewhere(toy_images):
    images = toy_images.subset([0, 1, 2])
    images.expect([0, 1], images.ids[:2])
    with pytest.raises(
        RobustcheckError, match=r"toy-02\.png' differs from the one that another process read"
    ):
        images.expect([2], ["0" * 16])
    fresh = ImageSet.from_arrays(np.zeros((1, 3, 16, 16), np.uint8))
    fresh.expect([0], ["0" * 16])
    with pytest.raises(RobustcheckError, match="has changed since"):
        next(fresh.batches(1))
