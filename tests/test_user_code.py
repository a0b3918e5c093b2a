"""Warnings point at the line of the user's that led to them."""

import warnings
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

import robustcheck
from robustcheck import ImageSet, RobustnessWarning
from tests import toys

HERE = Path(__file__).name


def place(caught):
    (warning,) = (each for each in caught if each.category is RobustnessWarning)
    path = Path(warning.filename)
    return path.name, path.read_text().splitlines()[warning.lineno - 1].strip()


@pytest.fixture
def at_chance():
    """A classifier and images whose labels it guesses, which an evaluation warns of."""
    classifier = toys.classifier_of(toys.Linear())
    return classifier, ImageSet.from_arrays(toys.random_pixels(40), np.arange(40) % 4)


def test_of_an_evaluation_the_line_that_asks_for_it(at_chance):
    with warnings.catch_warnings(record=True, action="always") as caught:
        robustcheck.evaluate(*at_chance, ["x"])
    assert place(caught) == (HERE, 'robustcheck.evaluate(*at_chance, ["x"])')


def test_of_a_network_in_train_mode_the_call(at_chance):
    network = torch.nn.Sequential(torch.nn.Dropout(0.1), toys.Linear()).train()
    classifier = robustcheck.Classifier(network, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="cpu")
    pixels = torch.from_numpy(toys.random_pixels(2))
    with warnings.catch_warnings(record=True, action="always") as caught:
        classifier(pixels)
    assert place(caught) == (HERE, "classifier(pixels)")


def test_of_images_beside_class_folders_the_call(tmp_path):
    for name in ("a/1.png", "b/1.png", "loose.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        toys.Image.new("RGB", (16, 16)).save(tmp_path / name)
    with warnings.catch_warnings(record=True, action="always") as caught:
        robustcheck.open_images(str(tmp_path), size=16)
    assert place(caught) == (HERE, "robustcheck.open_images(str(tmp_path), size=16)")


def test_in_a_thread_without_a_line_of_the_users_it_is_still_given(at_chance):
    with warnings.catch_warnings(record=True, action="always") as caught:
        thread = Thread(target=robustcheck.evaluate, args=(*at_chance, ["x"]))
        thread.start()
        thread.join()
    assert "at chance" in str(next(each.message for each in caught if each.category is RobustnessWarning))


def test_in_a_run_of_pytest_the_line_of_the_test(repository):
    conftest = repository.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace(
            "labels[:4] = (labels[:4] + 1) % 4", "labels = labels[::-1].copy() * 0 + np.arange(40) % 4"
        )
    )
    repository.makepyfile(
        test_it="""
        def test_clean(robustness):
            assert robustness["x"].accuracy >= 0.01
        """
    )
    result = repository.runpytest()
    result.stdout.fnmatch_lines(["*test_it.py:2: RobustnessWarning: toy: clean accuracy is at chance*"])
