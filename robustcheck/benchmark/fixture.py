"""The value of the fixture `robustcheck_benchmark`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from statistics import median
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

from robustcheck import jpeg
from robustcheck.benchmark.device_facts import describe, device_facts, versions
from robustcheck.benchmark.foreign_baselines import KEY
from robustcheck.benchmark.hooks import BenchmarkRun
from robustcheck.benchmark.peak_memory import peak_memory
from robustcheck.benchmark.reference import reference_seconds
from robustcheck.benchmark.speedup import ROUNDS, Speedup, check_rounds
from robustcheck.benchmark.table import Measurement
from robustcheck.benchmark.timer import Timer, calls_per_round, seconds_per_call, without_tracing
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, parse
from robustcheck.report.summary import PAPER

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from robustcheck.images import Batch
    from robustcheck.records import Records
    from robustcheck.robustness import Robustness

Result = TypeVar("Result")

STUDY = tuple(PAPER)
"""The views of arXiv 1608.00853's table."""


class Benchmark:
    """Measures one thing in a test: seconds, images per second, peak memory, or a speedup.

        def test_my_preprocessing(robustcheck_benchmark):
            robustcheck_benchmark(preprocess, images, images=len(images))

    A call is made once to warm up, once to measure its peak memory, and then by pytest-benchmark as often as its
    options and marker say, timed with a clock that waits for the device. If pytest-benchmark is disabled
    (`--benchmark-disable`, pytest-xdist) it is made once and nothing is measured. As with `benchmark` itself, a test
    measures once.
    """

    def __init__(
        self,
        timed: Any,
        run: BenchmarkRun,
        *,
        timer: Timer,
        device: Callable[[], torch.device],
        robustness: Callable[[], Robustness],
    ) -> None:
        self._timed, self._run, self._timer = timed, run, timer
        self._device, self._ask_robustness = device, robustness
        self._notes: list[str] = []

    def __repr__(self) -> str:
        return f"<robustcheck_benchmark of {self._timed.name}>"

    def __call__(
        self, function: Callable[..., Result], *args: Any, images: int | None = None, **kwargs: Any
    ) -> Result:
        """Measure `function(*args, **kwargs)`, which takes `images` images, and return what it returns.

        With `images`, images per second are reported; pass a function with a keyword of that name as a
        `functools.partial`. Time and memory are those of the device that `--robustcheck-device` names.
        """
        return self._measure(partial(function, *args, **kwargs), images=images, device=self._device())

    def attack(self, view: str | View) -> Tensor:
        """Measure an attack on one batch of the run's images, and return the attacked images.

            robustcheck_benchmark.attack("PGD_8[steps=20]")

        The batch has the run's batch size and is on the model's device. Returns uint8 (n, 3, H, W).
        Raises `RobustcheckError` for a view that can't be parsed, is no attack, or can't be computed here.
        """
        tree = parse(view)
        if tree.kind != "attack":
            raise RobustcheckError(
                f"must be an attack, such as Adv_1, got {tree}: measure whole views with .table(['{tree}'])"
            )
        batch = self._batch
        return self._measure(
            partial(self._robustness.images_of, tree, batch), images=len(batch), device=batch.pixels.device
        )

    def jpeg(self, quality: int = 75, *, subsampling: str = "4:2:0", codec: str = "auto") -> Tensor:
        """Measure `robustcheck.jpeg.roundtrip` on one batch of the run's images, and return what it returns.

        The batch is on the model's device. Raises `RobustcheckError` as `roundtrip` does.
        """
        pixels = self._batch.pixels
        call = partial(jpeg.roundtrip, pixels, quality=quality, subsampling=subsampling, codec=codec)
        return self._measure(call, images=len(pixels), device=pixels.device)

    def table(
        self,
        views: Iterable[str | View] = STUDY,
        *,
        images: int | None = None,
        rounds: int | None = None,
    ) -> Records:
        """Measure the evaluation of views on the run's images, and return the records.

            robustcheck_benchmark.table(["Adv_1", "JPG(Adv_1)"], images=1000, rounds=3)

        By default the views are the eight of arXiv 1608.00853's table, of all images; `images` limits their number,
        in whole batches. Decoding them counts, as in any run, and the record store is not used. `rounds` is the number
        of timed rounds after one to warm up; None leaves it to pytest-benchmark's options. Raises `RobustcheckError`
        as an evaluation does.
        """
        robustness, trees = self._robustness, tuple(map(parse, views))
        whole, size = len(robustness.images), robustness.batch_size
        count = whole if images is None else min(whole, -(-images // size) * size)
        return self._measure(
            partial(robustness.compute_again, *trees, count=count),
            images=count,
            device=robustness.classifier.device,
            rounds=rounds,
        )

    def ratio(
        self,
        ours: Callable[[], object],
        theirs: Callable[[], object],
        *,
        rounds: int = ROUNDS,
        images: int | None = None,
    ) -> Speedup:
        """Time two functions without arguments in interleaved rounds, and return the speedup of ours over theirs.

            result = robustcheck_benchmark.ratio(ours, theirs)
            assert result.ratio_low >= 2

        Each is called once to warm up, and then in each of the `rounds` (at least 6): ours, then theirs, repeated
        if one call is too short to time. `ratio` is the median over the rounds of theirs / ours; `ratio_low` to
        `ratio_high` is its 95 % interval, by order statistics. pytest-benchmark stores the times of ours. If it is
        disabled, each is called once, and the test is skipped, since there is nothing to assert on.
        """
        check_rounds(rounds)
        if self._timed.disabled:
            ours(), theirs()
            pytest.skip(f"robustcheck_benchmark: both were called once, not timed: {self._run.why_untimed}")
        device = self._device()
        with _raised_by(self._timed):
            ours(), theirs()
            with without_tracing():
                our_calls, their_calls = (calls_per_round(call, self._timer) for call in (ours, theirs))
        their_seconds: list[float] = []

        def time_theirs() -> None:
            options = self._timed.stats.options
            with without_tracing(disable_gc=options["disable_gc"]):
                their_seconds.append(seconds_per_call(theirs, their_calls, options["timer"]))

        # What pytest-benchmark calls a teardown runs after each round.
        self._timed.pedantic(ours, rounds=rounds, iterations=our_calls, teardown=time_theirs)
        our_seconds = tuple(self._timed.stats.stats.data)
        facts = device_facts(device)
        result = Speedup(our_seconds, tuple(their_seconds[:rounds]), describe(facts))
        numbers = {
            "ratio": result.ratio,
            "ratio_low": result.ratio_low,
            "ratio_high": result.ratio_high,
            "theirs": list(result.theirs),
        }
        self._keep(device, facts, images=images, peak=None, ratio=result, numbers=numbers)
        return result

    def note(self, text: str) -> None:
        """Add a line to this test's row of the table, and to what pytest-benchmark stores."""
        self._notes.append(text)
        self._timed.extra_info["notes"] = self._notes

    @cached_property
    def _robustness(self) -> Robustness:
        return self._ask_robustness()

    @cached_property
    def _batch(self) -> Batch:
        """One batch of the run's images, on the model's device."""
        robustness = self._robustness
        batch = next(iter(robustness.images.batches(robustness.batch_size)))
        device = robustness.classifier.device
        return replace(batch, pixels=batch.pixels.to(device), labels=batch.labels.to(device))

    def _measure(
        self,
        call: Callable[[], Result],
        *,
        images: int | None,
        device: torch.device,
        rounds: int | None = None,
    ) -> Result:
        if self._timed.disabled:
            self._run.untimed += 1
            return self._timed(call)  # type: ignore[no-any-return]
        with _raised_by(self._timed):
            if rounds is None:
                call()  # to warm up: compiling, loading, caches
            peak = peak_memory(call, device)
        result: Result = self._timed(call) if rounds is None else self._timed.pedantic(call, rounds=rounds)
        self._keep(device, device_facts(device), images=images, peak=peak)
        return result

    def _keep(
        self,
        device: torch.device,
        facts: dict[str, Any],
        *,
        images: int | None,
        peak: int | None,
        ratio: Speedup | None = None,
        numbers: dict[str, Any] | None = None,
    ) -> None:
        """Add what was measured to the table, and to what pytest-benchmark stores."""
        seconds = median(self._timed.stats.stats.data)
        row = Measurement(self._timed.name, describe(facts), seconds, images, peak, ratio, self._notes)
        known = {
            "images": images,
            "images_per_second": row.images_per_second,
            "peak_memory_bytes": peak,
            **(numbers or {}),
            "notes": self._notes,
        }
        self._timed.extra_info.update(
            {name: value for name, value in known.items() if value not in (None, [])}
        )
        self._timed.extra_info[KEY] = {
            "device": facts,
            "versions": versions(),
            "reference_seconds": reference_seconds(device),
        }
        self._run.rows.append(row)


@contextmanager
def _raised_by(timed: Any) -> Generator[None]:
    """Let pytest-benchmark raise the error: else it warns, too, that it was not used at all."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - it is raised again
        timed.pedantic(_raise, (error,))


def _raise(error: Exception) -> NoReturn:
    raise error
