"""The fixture `robustcheck_benchmark` in a user's repository; seconds are those of a clock that the tests turn."""

import json
import subprocess
import sys

import pytest
import torch
from pytest_benchmark.utils import get_machine_id

from robustcheck.benchmark.device_facts import device_facts

pytestmark = pytest.mark.slow

CLOCK = """
import os

now = 0.0

def clock():
    global now
    now += 1e-7  # time goes on
    return now

def takes(seconds):
    def call():
        global now
        now += seconds * float(os.environ.get("SLOWER", "1"))
        return "done"
    return call
"""

MEASURES = """
import pytest
from clock import clock, takes

pytestmark = pytest.mark.benchmark(timer=clock)

def test_codec(robustcheck_benchmark):
    assert robustcheck_benchmark(takes(0.02), images=32) == "done"
"""


@pytest.fixture
def timed(repository):
    """A repository with a clock that tests turn."""
    repository.makepyfile(clock=CLOCK)
    return repository


def saved(repository, *arguments):
    """Run with a JSON file, and return what pytest-benchmark wrote, by test."""
    path = repository.path / "out.json"
    result = repository.runpytest(f"--benchmark-json={path}", *arguments)
    data = json.loads(path.read_text())
    return result, data, {benchmark["name"]: benchmark for benchmark in data["benchmarks"]}


def test_a_function_is_measured_and_what_it_returns_comes_back(timed):
    timed.makepyfile(MEASURES)
    result, data, benchmarks = saved(timed)
    benchmark = benchmarks["test_codec"]
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*= robustcheck benchmarks =*",
            "on cpu (*, * thread*)",
            "* per call    images/s  peak memory",
            "test_codec *20.0 ms       1,600*",
        ]
    )
    assert benchmark["stats"]["median"] == pytest.approx(0.02, rel=1e-3)
    told = benchmark["extra_info"]
    assert told["images"] == 32
    assert told["images_per_second"] == pytest.approx(1600, rel=1e-3)
    assert told["robustcheck"]["device"]["type"] == "cpu"
    assert told["robustcheck"]["reference_seconds"] > 0
    assert {"torch", "numpy", "pytest-benchmark"} <= told["robustcheck"]["versions"].keys()
    machine = data["machine_info"]["robustcheck"]
    assert machine["versions"] == told["robustcheck"]["versions"]
    assert isinstance(machine["gpus"], list)


def test_the_run_s_own_model_and_images_are_measured(repository):
    repository.makepyfile(
        """
        import pytest
        import torch
        import robustcheck

        pytestmark = pytest.mark.benchmark(max_time=0.01, min_rounds=1)

        def test_attack(robustcheck_benchmark, robustcheck_classifier, robustcheck_images):
            pixels = next(iter(robustcheck_images.batches(8))).pixels
            found = robustcheck_benchmark.attack("Adv_3")
            assert torch.equal(found, robustcheck.attacks.fgs(robustcheck_classifier, pixels, epsilon=3))

        def test_jpeg(robustcheck_benchmark, robustcheck_images):
            pixels = next(iter(robustcheck_images.batches(8))).pixels
            assert torch.equal(robustcheck_benchmark.jpeg(30), robustcheck.jpeg.roundtrip(pixels, quality=30))

        def test_table(robustcheck_benchmark):
            records = robustcheck_benchmark.table()
            assert len(records.views) == 8
            assert len(records) == 40

        def test_few_images(robustcheck_benchmark):
            records = robustcheck_benchmark.table(["x"], images=9)
            assert records.seen(records.views[0]).sum() == 16  # in batches of 8

        def test_few_views(robustcheck_benchmark):
            assert list(map(str, robustcheck_benchmark.table(["JPG(Adv_3)"], rounds=2).views)) == ["x", "JPG(Adv_3)"]
        """
    )
    result, _, benchmarks = saved(repository)
    result.assert_outcomes(passed=5)
    assert [
        benchmarks[f"test_{name}"]["extra_info"]["images"]
        for name in ("attack", "jpeg", "table", "few_images")
    ] == [8, 8, 40, 16]
    assert benchmarks["test_few_views"]["stats"]["rounds"] == 2
    assert "= robustcheck =" not in result.stdout.str()  # measured, not claimed


def test_each_round_of_a_table_computes_all_of_it(repository):
    """Whatever the record store has by then."""
    repository.makepyfile(
        """
        seen = []

        def test_table(robustcheck_benchmark, robustcheck_classifier):
            handle = robustcheck_classifier.module.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
            robustcheck_benchmark.table(["JPG", "Noise_3"], rounds=4)
            handle.remove()
            assert sum(seen) >= 5 * 3 * 40  # peak memory is of a round of its own
        """
    )
    for _ in range(2):
        repository.runpytest().assert_outcomes(passed=1)


def test_what_a_benchmark_names_is_not_evaluated_beside_claims(repository):
    repository.makepyfile(
        """
        def test_attack(robustcheck_benchmark):
            robustcheck_benchmark.attack("Adv_3")

        def test_claim(robustness):
            assert robustness["Adv_7"].kept >= 0.01
        """
    )
    result = repository.runpytest("--benchmark-disable")
    result.stdout.fnmatch_lines(["Adv_7 *"])
    result.stdout.no_fnmatch_line("Adv_3 *")


MISTAKES = {
    'attack("JPG")': "must be an attack, such as Adv_1, got JPG: measure whole views with .table(['JPG'])",
    'attack("Adv")': "Adv needs its epsilon, as in Adv_1 (column 4)",
    'table(["Avd_1"])': "unknown step 'Avd': did you mean Adv*",
    "jpeg(0)": "*quality*",
    "ratio(print, print, rounds=5)": "rounds must be an integer >= 6, for a 95% interval of the median, got 5",
}


def test_mistakes_are_told_at_the_user_s_line(repository):
    repository.makepyfile(
        "\n".join(
            f"def test_{number}(robustcheck_benchmark):\n    robustcheck_benchmark.{call}"
            for number, call in enumerate(MISTAKES)
        )
    )
    result = repository.runpytest()
    result.assert_outcomes(failed=len(MISTAKES))
    result.stdout.fnmatch_lines([f"E  *{message.replace('[', '[[]')}" for message in MISTAKES.values()])
    result.stdout.no_fnmatch_line("*robustcheck/benchmark/fixture.py*")


def test_an_error_in_what_is_measured_is_the_test_s(repository):
    repository.makepyfile("def test_it(robustcheck_benchmark):\n    robustcheck_benchmark(lambda: 1 / 0)")
    result = repository.runpytest()
    result.assert_outcomes(failed=1, warnings=0)
    result.stdout.fnmatch_lines(["E   ZeroDivisionError*"])
    result.stdout.no_fnmatch_line("*robustcheck benchmarks*")


# -------------------------------------------------------------------------------- beside pytest-benchmark


def test_the_timer_goes_into_the_user_s_own_marker(timed):
    timed.makepyfile(
        """
        import time
        import pytest
        from clock import clock, takes

        @pytest.mark.benchmark(group="codecs", min_rounds=7, max_time=0.001)
        def test_marked(robustcheck_benchmark):
            robustcheck_benchmark(lambda: None)

        @pytest.mark.benchmark(timer=clock, min_time=0.95)
        def test_own_timer(robustcheck_benchmark):
            robustcheck_benchmark(takes(0.1))

        @pytest.mark.benchmark(min_rounds=3)
        class TestIn:
            def test_class(self, robustcheck_benchmark):
                robustcheck_benchmark(lambda: None)
        """
    )
    result, _, benchmarks = saved(timed)
    result.assert_outcomes(passed=3)
    marked, own, in_class = (benchmarks[f"test_{name}"] for name in ("marked", "own_timer", "class"))
    assert (marked["group"], marked["options"]["min_rounds"]) == ("codecs", 7)
    assert marked["options"]["timer"] == in_class["options"]["timer"] == "device_seconds"
    assert (own["options"]["timer"], own["stats"]["iterations"]) == ("clock", 10)
    assert in_class["options"]["min_rounds"] == 3
    assert marked["stats"]["iterations"] > 10  # many small calls are one measurement


def test_the_command_line_goes_before_what_we_would_choose(repository):
    repository.makepyfile("def test_it(robustcheck_benchmark):\n    robustcheck_benchmark(lambda: None)")
    _, _, benchmarks = saved(
        repository, "--benchmark-timer=time.process_time", "--benchmark-min-time=0.00002"
    )
    options = benchmarks["test_it"]["options"]
    assert options["timer"] == "process_time"
    assert float(options["min_time"]) == 0.00002


def test_plain_benchmarks_are_let_be(repository):
    plain = "def test_plain(benchmark):\n    benchmark.pedantic(lambda: None)\n"
    ours = "def test_ours(robustcheck_benchmark):\n    robustcheck_benchmark(lambda: None)\n"
    repository.makepyfile(plain)
    alone = saved(repository)
    assert "robustcheck benchmarks" not in alone[0].stdout.str()
    repository.makepyfile(plain + ours)
    beside = saved(repository)
    beside[0].assert_outcomes(passed=2)
    for _, _, benchmarks in (alone, beside):
        assert benchmarks["test_plain"]["extra_info"] == {}
        assert benchmarks["test_plain"]["options"]["timer"] == "perf_counter"
        assert float(benchmarks["test_plain"]["options"]["min_time"]) == 0.000005


COUNTED = """
import pathlib

def count(name):
    with pathlib.Path(name).open("a") as file:
        file.write("x")

def test_call(robustcheck_benchmark):
    robustcheck_benchmark(count, "call")

def test_jpeg(robustcheck_benchmark):
    robustcheck_benchmark.jpeg()

def test_ratio(robustcheck_benchmark):
    result = robustcheck_benchmark.ratio(lambda: count("ours"), lambda: count("theirs"))
    assert result.ratio_low >= 100
"""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["-n", "1"], "pytest-xdist is active"), (["--benchmark-disable"], "--benchmark-disable")],
)
def test_where_nothing_is_timed_each_call_is_made_once_and_that_is_said(repository, arguments, reason):
    pytest.importorskip("xdist")
    repository.makepyfile(COUNTED)
    result = repository.runpytest("-rs", *arguments)
    result.assert_outcomes(passed=2, skipped=1)
    assert result.ret == pytest.ExitCode.OK
    calls = {name: (repository.path / name).read_text() for name in ("call", "ours", "theirs")}
    assert calls == {"call": "x", "ours": "x", "theirs": "x"}
    result.stdout.fnmatch_lines(
        [f"2 tests ran once, without timing: {reason}", f"SKIPPED*called once, not timed: {reason}"]
    )


def test_skip_and_only_take_ours_for_benchmarks(repository):
    repository.makepyfile(COUNTED + "\ndef test_other():\n    pass\n")
    repository.runpytest("--benchmark-skip").assert_outcomes(passed=1, skipped=3)
    result = repository.runpytest("--benchmark-only", "-k", "call or other")
    result.assert_outcomes(passed=1, skipped=1, deselected=2)


def test_without_pytest_benchmark_the_other_fixtures_work(repository):
    repository.makepyfile(
        """
        def test_claim(robustness):
            assert robustness["Noise_1"].kept >= 0.5

        def test_speed(robustcheck_benchmark):
            robustcheck_benchmark.jpeg()
        """
    )
    result = repository.runpytest("-p", "no:benchmark", "--strict-markers")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E       fixture 'benchmark' not found"])


def test_collecting_a_benchmark_imports_no_library(pytester):
    pytester.makepyfile("def test_it(robustcheck_benchmark):\n    robustcheck_benchmark.jpeg()")
    code = (
        "import pytest, sys; code = pytest.main(['--collect-only', '-q', '--benchmark-compare']); "
        "print('loaded:', sorted({'torch', 'numpy', 'scipy'} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=pytester.path
    )
    assert "loaded: []" in done.stdout


# ------------------------------------------------------------------------------------------------- gates

GATE = """
import pytest
from clock import clock, takes

@pytest.mark.benchmark(timer=clock)
def test_gate(robustcheck_benchmark):
    result = robustcheck_benchmark.ratio(takes(0.002), {theirs}, images=10)
    assert result.ratio_low >= 2
"""


def test_a_gate_on_a_ratio_is_green_where_ours_is_fast(timed):
    timed.makepyfile(GATE.format(theirs="takes(0.006)"))
    result, _, benchmarks = saved(timed)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "interleaved *ratio   95 % interval*ours    theirs",
            "test_gate * 3      3 .. 3      * 2.00 ms   6.00 ms",
        ]
    )
    told = benchmarks["test_gate"]["extra_info"]
    assert told["ratio_low"] == pytest.approx(3, rel=1e-3)
    assert len(told["theirs"]) == benchmarks["test_gate"]["stats"]["rounds"] == 25
    assert told["images_per_second"] == pytest.approx(5000, rel=1e-3)
    assert benchmarks["test_gate"]["stats"]["median"] == pytest.approx(0.002, rel=1e-3)


def test_a_gate_on_a_ratio_is_red_where_ours_is_slow_and_says_why(timed):
    timed.makepyfile(GATE.format(theirs="takes(0.003)"))
    result = timed.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E       assert 1.* >= 2",
            (
                "E        +  where 1.* = <ours 2.00 ms, theirs 3.00 ms per call: speedup 1.5, 1.5 .. 1.5 "
                "at 95 % over 25 interleaved rounds, on cpu*.ratio_low"
            ),
        ]
    )


def test_both_sides_are_called_alike(timed):
    """By the same caller, equally often, in pairs of either order, with no result of an earlier call alive."""
    timed.makepyfile(
        """
        import sys
        import weakref

        import pytest
        from clock import clock, takes

        turns, alive, callers = [], [], set()

        class Result:
            pass

        def one(side):
            def call():
                turns.append(side)
                callers.add(sys._getframe(1).f_code)
                assert all(result() is None for result in alive)
                takes(1)()
                result = Result()
                alive[:] = [weakref.ref(result)]
                return result
            return call

        @pytest.mark.benchmark(timer=clock)
        def test_it(robustcheck_benchmark):
            robustcheck_benchmark.ratio(one("A"), one("B"), rounds=60)
            pairs = ["".join(turns[-120:][i : i + 2]) for i in range(0, 120, 2)]
            assert set(pairs) == {"AB", "BA"}
            assert turns.count("A") == turns.count("B") == 62  # one to warm up, one to see how long it takes
            assert len({code.co_name for code in callers} - {"runner"}) == 2  # ratio's warm-up, and the loop
        """
    )
    timed.runpytest().assert_outcomes(passed=1)


def stats(seconds):
    """What pytest-benchmark stores of 50 rounds that all took as long."""
    same = dict.fromkeys(("min", "max", "mean", "median", "q1", "q3", "ld15iqr", "hd15iqr"), seconds)
    spread = {"stddev": 0, "iqr": 0, "iqr_outliers": 0, "stddev_outliers": 0, "outliers": "0;0"}
    return same | spread | {"rounds": 50, "iterations": 1, "ops": 1 / seconds, "total": 50 * seconds}


def write_baseline(repository, test, seconds, extra_info):
    """Put a baseline where pytest-benchmark looks for it."""
    benchmark = {
        "fullname": test,
        "name": test.partition("::")[2],
        "stats": stats(seconds),
        "extra_info": extra_info,
    }
    path = repository.path / ".benchmarks" / get_machine_id() / "0001_base.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"machine_info": {}, "commit_info": {}, "benchmarks": [benchmark]}))


def write_ours(repository, seconds=0.02, **device):
    here = device_facts(torch.device("cpu"))
    known = {"robustcheck": {"device": here | device, "reference_seconds": 0.001}}
    repository.makepyfile(test_it=MEASURES)
    write_baseline(repository, "test_it.py::test_codec", seconds, known)


COMPARE = ("--benchmark-compare=0001", "--benchmark-compare-fail=median:10%")


def test_compare_fail_is_green_and_red(timed, monkeypatch):
    write_ours(timed)
    timed.makepyfile(test_claim="def test_claim(robustness):\n    assert robustness['Noise_1'].kept >= 0.5")
    same = timed.runpytest(*COMPARE)
    assert same.ret == pytest.ExitCode.OK
    same.stdout.fnmatch_lines(["test_codec (0001_base) *", "test_codec (NOW) *"])
    monkeypatch.setenv("SLOWER", "1.5")
    slower = timed.runpytest(*COMPARE)
    assert slower.ret != pytest.ExitCode.OK
    slower.stderr.fnmatch_lines(["*Performance has regressed:*", "*test_codec*'median' has failed*> 10.0*"])
    slower.stdout.fnmatch_lines(["test_codec *30.0 ms *", "Noise_1 *"])  # our tables are there all the same


def test_a_baseline_of_another_device_is_not_compared_second_by_second(timed):
    write_ours(timed, 0.0002, name="VAX", threads=1)
    result = timed.runpytest("--benchmark-compare=0001")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "not compared: the baseline *0001_base.json",
            "    is of cpu (VAX, 1 thread), this run of cpu (*",
            "    test_codec: 0.2 times the reference kernel's time there, * here",
        ]
    )
    result.stdout.no_fnmatch_line("*test_codec (0001_base)*")


def test_a_gate_on_a_baseline_of_another_device_fails_with_what_to_do(timed):
    write_ours(timed, type="cuda", name="NVIDIA H100")
    result = timed.runpytest(*COMPARE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(
        [
            "    is of cuda (NVIDIA H100*",
            "ERROR: --benchmark-compare-fail can't hold against another device: save a baseline on this one*",
        ]
    )
    result.stdout.no_fnmatch_line("*reference kernel*")  # another kind of device does other work


def test_plain_benchmarks_are_compared_whatever_the_device(timed):
    timed.makepyfile(test_it="def test_plain(benchmark):\n    benchmark.pedantic(lambda: None)")
    write_baseline(timed, "test_it.py::test_plain", 100.0, {})
    result = timed.runpytest(*COMPARE)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["test_plain (0001_base)*"])
    assert "not compared" not in result.stdout.str()
