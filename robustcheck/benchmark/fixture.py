"""The value of the fixture `robustcheck_benchmark`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from robustcheck import jpeg
from robustcheck.benchmark.arguments import (
    checked_call,
    checked_count,
    checked_images,
    checked_result,
    checked_views,
)
from robustcheck.benchmark.device_facts import describe, device_facts
from robustcheck.benchmark.hooks import RUN
from robustcheck.benchmark.interleaved_rounds import time_interleaved
from robustcheck.benchmark.peak_memory import peak_memory
from robustcheck.benchmark.recorder import Recorder
from robustcheck.benchmark.speedup import Speedup, check_rounds
from robustcheck.benchmark.subject import IMAGES, Subject, model_facts, size_text
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, parse
from robustcheck.report.summary import PAPER
from robustcheck.text import listed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from robustcheck.images import Batch
    from robustcheck.records import Records
    from robustcheck.robustness import Robustness

Result = TypeVar("Result")

STUDY = tuple(PAPER)
"""The views of arXiv 1608.00853's table."""

_OFFERED = "attack, extra_info, group, jpeg, note, pedantic, ratio, stats, table"


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
        self, timed: Any, request: pytest.FixtureRequest, *, device: torch.device, precision: str
    ) -> None:
        self._timed, self._request = timed, request
        self._device, self._precision = device, precision
        self._run = request.config.stash[RUN]
        self._recorder = Recorder(timed, request.node, self._run)

    def __repr__(self) -> str:
        return f"<robustcheck_benchmark of {self._timed.name}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"robustcheck_benchmark has no {name!r}, only {_OFFERED}: the rest of pytest-benchmark's interface "
            "is that of its fixture `benchmark`"
        )

    def __call__(
        self, function: Callable[..., Result], *args: Any, images: int | None = None, **kwargs: Any
    ) -> Result:
        """Measure `function(*args, **kwargs)`, which takes `images` images, and return what it returns.

        With `images`, images per second are reported; pass a function with a keyword of that name as a
        `functools.partial`. Time and memory are those of the device that `--robustcheck-device` names.
        Raises `RobustcheckError` unless `images` is an integer >= 1.
        """
        checked_call("function", function)
        call = partial(function, *args, **kwargs)
        return self._measure(call, device=self._device, subject=self._used_model(images))

    def pedantic(
        self,
        function: Callable[..., Result],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        images: int | None = None,
        **options: Any,
    ) -> Result:
        """Measure a function as `benchmark.pedantic` does, and return what it returns.

            robustcheck_benchmark.pedantic(evaluate, setup=load, rounds=5, images=64)

        `options` are those of pytest-benchmark: setup, teardown, rounds, warmup_rounds, iterations. It is called as often
        as they say, so that peak memory is not measured.
        """
        checked_call("function", function)
        subject = self._used_model(images)
        with self._recorder.measuring(self._run.untimed):
            result: Result = checked_result(
                "function", self._timed.pedantic(function, args, kwargs, **options)
            )
            self._recorder.keep(self._device, subject)
        return result

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
        subject = self._run_s_model(f"attack {tree}", len(batch))
        return self._measure(
            partial(self._robustness.images_of, tree, batch), device=batch.pixels.device, subject=subject
        )

    def jpeg(self, quality: int = 75, *, subsampling: str = "4:2:0", codec: str = "auto") -> Tensor:
        """Measure `robustcheck.jpeg.roundtrip` on one batch of the run's images, and return what it returns.

        The batch is on the model's device. Raises `RobustcheckError` as `roundtrip` does.
        """
        pixels = self._batch.pixels
        call = partial(jpeg.roundtrip, pixels, quality=quality, subsampling=subsampling, codec=codec)
        subject = {
            "what": f"JPEG at quality {quality}, {subsampling}, codec {codec}",
            "image size": size_text(*pixels.shape[2:]),
            IMAGES: len(pixels),
        }
        return self._measure(call, device=pixels.device, subject=subject)

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
        as an evaluation does, and for views that are no list or counts below 1.
        """
        trees, most = checked_views(views), checked_images(images)
        rounds = None if rounds is None else checked_count("rounds", rounds)
        robustness = self._robustness
        whole, size = len(robustness.images), robustness.batch_size
        count = whole if most is None else min(whole, -(-most // size) * size)
        return self._measure(
            partial(robustness.compute_again, *trees, count=count),
            device=robustness.classifier.device,
            subject=self._run_s_model(f"table of {listed(map(str, trees), 8)}", count),
            rounds=rounds,
        )

    def ratio(
        self,
        ours: Callable[[], object],
        theirs: Callable[[], object],
        *,
        rounds: int | None = None,
        images: int | None = None,
    ) -> Speedup:
        """Time two functions without arguments in interleaved rounds, and return the speedup of ours over theirs.

            result = robustcheck_benchmark.ratio(ours, theirs)
            assert result.ratio_low >= 2

        Each is called once to warm up, and then in each of the `rounds` (at least 6; by default 25, or 9 where a round
        takes a second or more) both are, in random order, repeated
        if one call is too short to time. `ratio` is the median over the rounds of theirs / ours; `ratio_low` to
        `ratio_high` is its 95 % interval, by order statistics. A function against itself has a ratio of 1. Results are
        dropped at once. pytest-benchmark stores the times of ours. If it is disabled, each is called once, and the test
        is skipped, since there is nothing to assert on.
        """
        rounds = None if rounds is None else check_rounds(rounds)
        checked_call("ours", ours), checked_call("theirs", theirs)
        subject = {"what": "ratio", **self._used_model(images)}
        with self._recorder.measuring(self._run.skipped):
            checked_result("ours", self._timed.pedantic(ours))  # warms up, and makes the entry that is stored
            checked_result("theirs", theirs())
            if self._timed.disabled:
                pytest.skip(
                    f"robustcheck_benchmark: both were called once, not timed: {self._run.why_untimed}"
                )
            entry, options = self._timed.stats, self._timed.stats.options
            self._recorder.require_timer(options["timer"])
            measured = time_interleaved(
                ours, theirs, rounds=rounds, timer=options["timer"], disable_gc=options["disable_gc"]
            )
            entry.iterations, entry.stats.data[:] = measured.our_calls, measured.ours
            result = Speedup(measured.ours, measured.theirs, describe(device_facts(self._device)))
            self._recorder.keep(self._device, subject, ratio=result)
        return result

    def note(self, text: str) -> None:
        """Add a line to this test's row of the table, and to what pytest-benchmark stores."""
        self._recorder.note(text)

    @property
    def extra_info(self) -> dict[str, Any]:
        """What else pytest-benchmark stores with the times, to add to."""
        info: dict[str, Any] = self._timed.extra_info
        return info

    @extra_info.setter
    def extra_info(self, info: Mapping[str, Any]) -> None:
        own = self._timed.extra_info
        own.clear(), own.update(info)

    @property
    def group(self) -> str | None:
        """The group of pytest-benchmark's table that the test is in; set it before measuring."""
        group: str | None = self._timed.group
        return group

    @group.setter
    def group(self, name: str | None) -> None:
        self._timed.group = name

    @property
    def stats(self) -> Any:
        """What pytest-benchmark measured, as `benchmark.stats`; None before, and where nothing is timed."""
        return self._timed.stats

    @cached_property
    def _robustness(self) -> Robustness:
        robustness: Robustness = self._request.getfixturevalue("robustness")
        return robustness

    @cached_property
    def _batch(self) -> Batch:
        """One batch of the run's images, on the model's device."""
        robustness = self._robustness
        batch = next(iter(robustness.images.batches(robustness.batch_size)))
        device = robustness.classifier.device
        return replace(batch, pixels=batch.pixels.to(device), labels=batch.labels.to(device))

    def _run_s_model(self, what: str, images: int) -> Subject:
        model = model_facts(self._robustness.classifier, self._precision)
        return {"what": what, **model, "batch size": self._robustness.batch_size, IMAGES: images}

    def _used_model(self, images: Any) -> Subject:
        """Return the facts of the run's model, if the test has it, and how many images a call takes."""
        count, subject = checked_images(images), {}
        if "robustcheck_classifier" in self._request.fixturenames:
            classifier = self._request.getfixturevalue("robustcheck_classifier")
            subject = model_facts(classifier, self._precision)
        return subject if count is None else {**subject, IMAGES: count}

    def _measure(
        self, call: partial[Result], *, device: torch.device, subject: Subject, rounds: int | None = None
    ) -> Result:
        peak, is_timed = None, not self._timed.disabled
        with self._recorder.measuring(self._run.untimed):
            if is_timed and rounds is None:
                checked_result("function", call())  # to warm up: compiling, loading, caches
            if is_timed:
                peak = peak_memory(call, device)
            result: Result = (
                self._timed(call.func, *call.args, **call.keywords)
                if rounds is None
                else self._timed.pedantic(call, rounds=rounds)
            )
            self._recorder.keep(device, subject, peak=peak)
        return result
