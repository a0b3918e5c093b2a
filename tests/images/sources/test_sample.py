from __future__ import annotations

import subprocess
import sys

import pytest

from robustcheck import RobustcheckError
from robustcheck.images import open_images
from robustcheck.models import load_model


def test_twenty_labelled_photographs(monkeypatch):
    image_set = open_images("sample", size=224)
    assert len(image_set) == 20
    assert image_set.has_labels
    assert image_set.names[0] == f"imagenet_00_{image_set.labels[0]}.jpg"
    assert 0 <= image_set.labels.min() <= image_set.labels.max() < 1000
    assert image_set.name == "sample"


def test_the_photographs_are_read_without_importing_foolbox():
    program = (
        "import sys; from robustcheck.images import open_images; open_images('sample', size=32).ids;"
        "print('foolbox' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("spec", ["sample", "sample:lite1", "sample:lite2"])
def test_the_sample_networks_know_nine_in_ten(spec):
    classifier = load_model(spec, device="cpu")
    image_set = open_images("sample", size=classifier.preprocessing)
    right = sum(
        int((classifier(batch.pixels).argmax(1) == batch.labels).sum()) for batch in image_set.batches(10)
    )
    assert right / len(image_set) == 0.90


def test_what_there_is_not_of_the_sample(uninstall):
    with pytest.raises(RobustcheckError, match="images must be sample, got 'sample:imagenet'"):
        open_images("sample:imagenet", size=32)
    uninstall("foolbox")
    with pytest.raises(
        RobustcheckError, match=r"foolbox, which is not installed: pip install 'pytest-robustcheck\[sample\]'"
    ):
        open_images("sample", size=32)


def test_a_folder_called_sample_is_reached_by_its_path(write_image, tmp_path, monkeypatch):
    write_image("sample/a.png")
    monkeypatch.chdir(tmp_path)
    assert len(open_images("./sample", size=8)) == 1
    assert len(open_images(tmp_path / "sample", size=8)) == 1
    assert len(open_images("sample", size=8)) == 20
