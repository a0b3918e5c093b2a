from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module

import pytest
from hypothesis import settings
from PIL import Image

from robustcheck.session.xdist import Worker
from tests import toys

# An example may take long on a busy machine; Hypothesis' own profile for CI says the same.
settings.register_profile("no deadline", settings(), deadline=None)
settings.load_profile("no deadline")

# A run inside a test is a run of its own, and no part of the worker of pytest-xdist that runs the test.
for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
    del os.environ[name]

LOADED_ONCE = (
    *("timm", "torchvision", "robustcheck.benchmark.fixture", "robustcheck.report.formats.terminal"),
    *("robustcheck.report.pictures", "robustcheck.robustness"),
)


def pytest_configure(config):
    """Tests in a worker of pytest-xdist, and what they run in its process, use its share of the cores."""
    if worker := Worker.of(config):
        worker.share_cores()


@pytest.fixture(scope="session")
def toy_classifier():
    """Four classes, 16x16 pixels, linear."""
    return toys.classifier_of(toys.Linear())


@pytest.fixture(scope="session")
def toy_images(toy_classifier):
    """Thirteen random images; all but three labels are what the toy classifier says."""
    return toys.images_for(toy_classifier, names=[f"toy-{index:02}.png" for index in range(13)])


@pytest.fixture
def uninstall(monkeypatch):
    """A function: have packages be as if they were not installed, for `import` and for `find_spec`."""

    def uninstall(*packages):
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    return uninstall


@pytest.fixture(scope="session")
def loaded_once():
    """What `pytester` must not be the first to import: it forgets such modules, and their operators can't come twice."""
    for name in LOADED_ONCE:
        with suppress(ModuleNotFoundError):  # timm is of an extra
            import_module(name)


@pytest.fixture
def pytester(loaded_once, pytester, monkeypatch):
    """Pytest in pytest, as on a user's machine: no run inside a test tells GitHub of its claims."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    return pytester


@pytest.fixture
def repository(pytester, monkeypatch):
    """A folder whose conftest brings a toy model: 40 images, 4 classes, clean accuracy 0.9."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-Wdefault")  # a user's, not this project's errors
    pytester.makeconftest(toys.CONFTEST)
    return pytester


@pytest.fixture
def red_and_green(pytester):
    """A folder of images of two classes, three each, the option that names it, and a test that holds on them."""
    for name, colour in (("a_red", (200, 20, 0)), ("b_green", (20, 200, 0))):
        inner = pytester.path / "set" / name
        inner.mkdir(parents=True)
        for shade in range(3):
            Image.new("RGB", (20, 20), (colour[0] + shade, *colour[1:])).save(inner / f"{shade}.png")
    pytester.makepyfile(test_colours=toys.RED_AND_GREEN)
    return "--robustcheck-images=set"
