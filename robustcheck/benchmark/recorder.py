"""What pytest-benchmark stores of a measurement, and what the table shows of it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.benchmark.baselines import KEY
from robustcheck.benchmark.device_facts import describe, device_facts, versions
from robustcheck.benchmark.hooks import BenchmarkRun
from robustcheck.benchmark.reference import reference_seconds
from robustcheck.benchmark.speedup import Speedup
from robustcheck.benchmark.subject import IMAGES, Subject
from robustcheck.benchmark.table import Measurement
from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    import torch


class Recorder:
    """Follows the one measurement of a test: `timed` is pytest-benchmark's fixture, `run` has the table."""

    def __init__(self, timed: Any, node: pytest.Item, run: BenchmarkRun) -> None:
        self._timed, self._node, self._run = timed, node, run
        self._notes: list[str] = []
        self._is_used = False

    def note(self, text: str) -> None:
        """Add a line to the test's row, and to what is stored."""
        self._notes.append(text)
        self._timed.extra_info["notes"] = self._notes

    @contextmanager
    def measuring(self, untimed: list[str]) -> Generator[None]:
        """Note for pytest-benchmark that what was measured until an error does not count.

        Where nothing is timed, the test is added to `untimed`.
        """
        if self._is_used:
            raise RobustcheckError(
                "robustcheck_benchmark measures once per test, and it has: write a test for each measurement, "
                "or parametrise it"
            )
        self._is_used = True
        if self._timed.disabled:
            untimed.append(self._timed.fullname)
        try:
            yield
        except BaseException:  # that of pytest.fail is no Exception
            self._timed.has_error = True
            raise

    def require_timer(self, used: object) -> None:
        """Raise if pytest-benchmark's fixture was set up before ours, with a timer that does not wait for the device."""
        marker = self._node.get_closest_marker("benchmark")
        if marker and marker.kwargs.get("timer", used) is not used:
            raise RobustcheckError(
                "the fixture `benchmark` was requested before robustcheck_benchmark, with a timer that does not wait "
                "for the device: take robustcheck_benchmark as an argument of the test"
            )

    def keep(
        self,
        device: torch.device,
        subject: Subject,
        *,
        peak: int | None = None,
        ratio: Speedup | None = None,
    ) -> None:
        """Add what was measured, if it was, to the table and to what pytest-benchmark stores."""
        timed = self._timed
        if timed.disabled:
            return
        self.require_timer(timed.stats.options["timer"])
        facts, images = device_facts(device), subject.get(IMAGES)
        row = Measurement(
            self._run.label(timed.name, timed.fullname),
            describe(facts),
            median(timed.stats.stats.data),
            images,
            peak,
            ratio,
            self._notes,
            timed.fullname,
        )
        known = {
            "images": images,
            "images_per_second": row.images_per_second,
            "peak_memory_bytes": peak,
            **({} if ratio is None else ratio.numbers),
            "notes": self._notes,
        }
        timed.extra_info.update({name: value for name, value in known.items() if value not in (None, [])})
        timed.extra_info[KEY] = {
            "device": facts,
            "subject": subject,
            "versions": versions(),
            "reference_seconds": reference_seconds(device),
        }
        self._run.rows.append(row)
