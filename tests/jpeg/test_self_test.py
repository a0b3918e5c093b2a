"""Libraries that give other pixels are noticed: torchvision silently, Pillow with a warning."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from robustcheck import jpeg
from robustcheck.errors import RobustnessWarning
from robustcheck.jpeg import pillow, self_test, torchvision
from robustcheck.jpeg.registry import CODECS


@pytest.fixture(autouse=True)
def forgotten():
    checks = (self_test.agrees_with_tensor, self_test.can_stand_in, self_test.differing_samples)
    for check in checks:
        check.cache_clear()
    yield
    for check in checks:
        check.cache_clear()


@pytest.fixture
def codec_of(monkeypatch):
    """A function: make the codec "pillow", or what stands in for it, an implementation of a test's own."""

    def put(roundtrip, field="module"):
        fake = SimpleNamespace(
            roundtrip=roundtrip, library=pillow.library, unsupported_reason=pillow.unsupported_reason
        )
        monkeypatch.setitem(sys.modules, "an_implementation", fake)
        monkeypatch.setitem(CODECS, "pillow", replace(CODECS["pillow"], **{field: "an_implementation"}))

    return put


def shifted(images, qualities, subsampling):
    changed = pillow.roundtrip(images, qualities, subsampling)
    changed[:, 1, 3, 4] ^= 1
    return changed


IMAGES = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)


def test_the_check_image_is_the_same_everywhere_and_uses_the_whole_range():
    image = self_test.check_image()
    assert image.shape == (37, 45, 3)
    assert (image.min(), image.max()) == (0, 255)
    assert hashlib.sha256(image.tobytes()).hexdigest().startswith("3a536288cc0b595c")


def test_what_is_installed_agrees():
    assert self_test.agrees_with_tensor("pillow")
    assert self_test.can_stand_in("robustcheck.jpeg.torchvision", "pillow")


def test_another_pillow_is_named_once_and_left_aside(codec_of):
    codec_of(shifted)
    with pytest.warns(
        RobustnessWarning, match=r"Pillow .*libjpeg.* and robustcheck .*tensor.* disagree in 9 of"
    ):
        info = jpeg.codec_info()
    assert "tensor codec" in info.library
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not self_test.agrees_with_tensor("pillow")
        assert "Pillow" in jpeg.codec_info("pillow").library
        assert jpeg.roundtrip(IMAGES).equal(jpeg.roundtrip(IMAGES, codec="tensor"))


def test_another_torchvision_is_left_aside(codec_of):
    codec_of(shifted, "faster")
    assert not self_test.can_stand_in("an_implementation", "pillow")


@pytest.mark.parametrize("error", [ImportError, RuntimeError, AttributeError])
def test_a_torchvision_without_jpeg_is_left_aside(codec_of, error):
    def missing(*_):
        raise error("no image extension")

    codec_of(missing, "faster")
    assert jpeg.roundtrip(IMAGES, codec="pillow").equal(IMAGES)


def test_torchvision_does_the_work_of_pillow_where_it_agrees(codec_of):
    worked = []
    codec_of(lambda *a: (worked.append(1), pillow.roundtrip(*a))[1], "faster")
    jpeg.roundtrip(IMAGES, codec="pillow")
    assert len(worked) == 4  # three subsamplings in the check, and the images


def test_importing_jpeg_loads_all_that_a_round_trip_needs():
    """So that Hypothesis' deadline does not meet the first call: by the function or by the fixture `jpeg`."""
    script = """
import sys, torch
import robustcheck
assert "torchvision" not in sys.modules
from robustcheck import jpeg
loaded = set(sys.modules)
assert {"PIL.Image", "robustcheck.jpeg.torchvision"} <= loaded
assert torch.ops.image.encode_jpeg
assert "torchvision" not in loaded  # it takes as long to import as torch
for size in (16, 17):
    jpeg.roundtrip(torch.zeros(1, 3, size, 16, dtype=torch.uint8))
assert set(sys.modules) == loaded, set(sys.modules) - loaded
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_operators_that_no_library_brings_are_those_of_the_package(uninstall, monkeypatch):
    uninstall("torchvision.io")
    torchvision.register_operators()
    with pytest.raises(ImportError, match=r"torchvision\.io"):
        torchvision.register_operators(libraries=["nothing"])

    def broken(_path):
        raise OSError("undefined symbol")

    monkeypatch.setattr(torch.ops, "load_library", broken)
    with pytest.raises(ImportError, match=r"torchvision\.io"):
        torchvision.register_operators()


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError])
def test_a_broken_library_does_not_stop_the_import(codec_of, error):
    def broken(*_):
        raise error("undefined symbol")

    codec_of(broken)
    self_test.warm_up()
    assert jpeg.roundtrip(IMAGES, codec="tensor").equal(IMAGES)
