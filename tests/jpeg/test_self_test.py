"""Libraries that give other pixels are noticed: torchvision silently, Pillow with a warning."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import pytest

from robustcheck import jpeg
from robustcheck.errors import RobustnessWarning
from robustcheck.jpeg import pillow
from robustcheck.jpeg import self_test as agreement


@pytest.fixture(autouse=True)
def forgotten():
    for check in (agreement.pillow_agrees, agreement.torchvision_agrees):
        check.cache_clear()
    yield
    for check in (agreement.pillow_agrees, agreement.torchvision_agrees):
        check.cache_clear()


def shifted(pixels, quality, subsampling):
    changed = np.array(REAL(pixels, quality, subsampling))
    changed[3, 4, 1] ^= 1
    return changed


REAL = pillow.by_pillow


def test_the_check_image_is_the_same_everywhere_and_uses_the_whole_range():
    image = agreement.check_image()
    assert image.shape == (37, 45, 3)
    assert (image.min(), image.max()) == (0, 255)
    assert hashlib.sha256(image.tobytes()).hexdigest().startswith("3a536288cc0b595c")


def test_what_is_installed_agrees():
    assert agreement.pillow_agrees()


def test_another_pillow_is_named_once_and_left_aside(monkeypatch):
    monkeypatch.setattr(pillow, "by_pillow", shifted)
    with pytest.warns(
        RobustnessWarning, match=r"Pillow .*libjpeg.* and robustcheck .*tensor.* disagree in 9 of"
    ):
        contract = jpeg.contract()
    assert "tensor codec" in contract.library
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not agreement.pillow_agrees()
        assert "Pillow" in jpeg.contract("pillow").library


def test_another_torchvision_is_left_aside(monkeypatch):
    monkeypatch.setattr(pillow, "by_torchvision", shifted)
    assert not agreement.torchvision_agrees()


@pytest.mark.parametrize("error", [ImportError, RuntimeError, AttributeError])
def test_a_torchvision_without_jpeg_is_left_aside(monkeypatch, error):
    def missing(*_):
        raise error("no image extension")

    monkeypatch.setattr(pillow, "by_torchvision", missing)
    assert not agreement.torchvision_agrees()
