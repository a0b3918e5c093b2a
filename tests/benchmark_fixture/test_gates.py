"""Baselines are compared with alike measurements alone, and a gate that can't be evaluated is red."""

import json
import re

import pytest

from tests import toys

pytestmark = pytest.mark.slow

COMPARE = ("--benchmark-compare", "--benchmark-compare-fail=median:100000%")
RUN = """
import pytest

pytestmark = pytest.mark.benchmark(max_time=0.001, min_rounds=2)


def test_attack(robustcheck_benchmark):
    robustcheck_benchmark.attack("Adv_3")


def test_table(robustcheck_benchmark):
    robustcheck_benchmark.table(["Adv_3"], rounds=1)


def test_ratio(robustcheck_benchmark, robustcheck_classifier):
    robustcheck_benchmark.ratio(lambda: None, lambda: None, rounds=6)


def test_plain(robustcheck_benchmark):
    robustcheck_benchmark(len, "ab", images=2)
"""


@pytest.fixture
def measured(repository):
    """A repository with a saved baseline of an attack, a table, a ratio and a function."""
    repository.makepyfile(test_it=RUN)
    repository.runpytest("--benchmark-save=base").assert_outcomes(passed=4)
    return repository


def not_compared(result):
    """The lines on what was not compared."""
    return [line for line in result.outlines if re.match(r"not compared| {4}\S|ERROR: --bench", line)]


def test_what_is_alike_is_compared_and_what_differs_is_said(measured):
    same = measured.runpytest(*COMPARE)
    assert same.ret == pytest.ExitCode.OK
    assert not not_compared(same)

    changed = measured.runpytest(*COMPARE, "--robustcheck-batch-size=5", "--robustcheck-precision=bf16")
    assert changed.ret == pytest.ExitCode.USAGE_ERROR
    text = "\n".join(not_compared(changed))
    assert "differs in precision: fp32 there, bf16 here; batch size: 8 there, 5 here" in text
    assert "test_attack" in text
    assert "ERROR: --benchmark-compare-fail can't hold against something else: save a baseline of" in text
    assert "test_plain" not in text
    changed.stdout.fnmatch_lines(["test_plain (0001_base)*"])


def test_another_network_is_another_model(measured):
    measured.makeconftest(
        toys.CONFTEST
        + """

@pytest.fixture(scope="session")
def robustcheck_classifier(robustcheck_model):
    import torch
    import robustcheck

    net = torch.nn.Sequential(robustcheck_model.module, torch.nn.Identity())
    how = robustcheck_model.preprocessing
    return robustcheck.Classifier(net.eval(), mean=how.mean, std=how.std, input_size=how.input_size)
"""
    )
    changed = measured.runpytest("--benchmark-compare", "-W", "ignore")
    changed.assert_outcomes(passed=4)
    assert changed.ret == pytest.ExitCode.OK  # no gate was asked for
    text = "\n".join(not_compared(changed))
    assert "differs in model: " in text
    assert all(name in text for name in ("test_attack", "test_table", "test_ratio"))


def test_tests_without_a_baseline_and_baselines_without_a_test_are_said(measured):
    measured.makepyfile(test_it=RUN.replace("test_plain", "test_renamed"))
    renamed = measured.runpytest(*COMPARE)
    assert renamed.ret == pytest.ExitCode.USAGE_ERROR
    renamed.stdout.fnmatch_lines(
        [
            "not compared: the baseline *0001_base.json",
            "    not in the baseline: test_renamed",
            "    not measured in this run: test_plain",
            "ERROR: --benchmark-compare-fail can't hold for a test that is not in the baseline: save *",
        ]
    )
    part = measured.runpytest(*COMPARE, "-k", "ratio")
    assert part.ret == pytest.ExitCode.OK
    part.stdout.fnmatch_lines(["    not measured in this run: test_attack, test_table, test_plain"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["-n", "1"], "pytest-xdist is active"), (["--benchmark-disable"], "--benchmark-disable")],
)
def test_where_nothing_is_timed_a_gate_is_red_and_a_comparison_is_said(repository, arguments, reason):
    pytest.importorskip("xdist")
    repository.makepyfile(
        test_it="def test_one(robustcheck_benchmark):\n    robustcheck_benchmark(len, 'a')\n"
        "def test_ratio(robustcheck_benchmark):\n    robustcheck_benchmark.ratio(int, int)\n"
    )
    repository.runpytest("--benchmark-save=base", "--benchmark-max-time=0.001")
    gated = repository.runpytest(*COMPARE, *arguments)
    assert gated.ret == pytest.ExitCode.USAGE_ERROR
    gated.stdout.fnmatch_lines(
        [
            f"    not timed in this run ({reason}): test_*, test_*",
            f"1 test ran once, without timing: {reason}",
            f"ERROR: --benchmark-compare-fail can't hold where nothing is timed ({reason}): run without -n *",
        ]
    )
    without_baseline = repository.runpytest("--benchmark-compare-fail=median:10%", *arguments)
    assert without_baseline.ret == pytest.ExitCode.USAGE_ERROR
    assert repository.runpytest("--benchmark-compare", *arguments).ret == pytest.ExitCode.OK


def test_a_baseline_that_says_nothing_of_the_model_is_not_compared(measured):
    (path,) = (measured.path / ".benchmarks").rglob("0001_base.json")
    saved = json.loads(path.read_text())
    for benchmark in saved["benchmarks"]:
        del benchmark["extra_info"]["robustcheck"]["subject"]
    path.write_text(json.dumps(saved))
    result = measured.runpytest("--benchmark-compare")
    text = "\n".join(not_compared(result))
    assert "model: unknown there" in text
    assert "test_plain" not in text
