"""The time of an evaluation is an entry of its own, and no limit per test counts it."""

import re
import xml.etree.ElementTree as ET

import pytest

SLOW = """
import time

@pytest.fixture(scope="module", autouse=True)
def slow(robustness):
    robustness.classifier.module.register_forward_hook(lambda _m, _a, output: time.sleep(0.3 * (len(output) > 1)))
"""
TESTS = """
def test_one(robustness):
    assert robustness["x"].accuracy >= 0.5

def test_two(robustness):
    assert robustness["Adv_1"].accuracy <= 0.99
"""


@pytest.fixture
def slow(repository):
    """A repository whose network sleeps in each forward pass."""
    conftest = repository.path / "conftest.py"
    conftest.write_text(conftest.read_text() + SLOW)
    repository.makepyfile(test_it=TESTS)
    return repository


def durations(result):
    """Return the seconds of each line of `--durations`, by phase and test."""
    found = (re.match(r"([\d.]+)s (call|setup) +(\S.*)", line) for line in result.outlines)
    return {(each[2], each[3]): float(each[1]) for each in found if each}


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["serial", "xdist"]
)
def test_an_evaluation_is_an_entry_and_no_test(slow, workers):
    if workers:
        pytest.importorskip("xdist")
    result = slow.runpytest("--durations=0", "-vv", "--junitxml=j.xml", "--robustcheck-store=off", *workers)
    result.assert_outcomes(passed=2)
    seconds = durations(result)
    entry = seconds.pop(("call", "robustcheck::evaluate[toy on forty]"))
    assert entry > 0.5
    calls = [value for (phase, test), value in seconds.items() if phase == "call" and "test_it" in test]
    assert len(calls) == 2
    if not workers:  # another worker may wait for the records
        assert sum(calls) < entry
    cases = {
        case.get("name"): float(case.get("time")) for case in ET.parse(slow.path / "j.xml").iter("testcase")
    }
    assert set(cases) == {"test_one", "test_two", "evaluate[toy on forty]"}
    assert cases["evaluate[toy on forty]"] == pytest.approx(entry, abs=0.02)


def test_a_run_without_an_evaluation_has_no_entry(slow):
    slow.makepyfile(
        test_it="def test_it(robustcheck_classifier):\n    assert robustcheck_classifier.input_size"
    )
    result = slow.runpytest("--durations=0", "-vv")
    assert "evaluate[" not in result.stdout.str()


def test_an_evaluation_that_takes_too_long_fails_its_tests(slow):
    conftest = slow.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("0.3", "60"))
    slow.makepyfile(
        test_it="import pytest\n" + TESTS.replace("def test_two", "@pytest.mark.xfail\ndef test_two")
    )
    result = slow.runpytest("--robustcheck-timeout=0.2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*evaluate[[]toy on forty[]] took longer than --robustcheck-timeout=0.2 seconds: *"]
    )


def test_limit_leaves_a_user_s_own_alarm_handler(slow):
    slow.makepyfile(
        test_it="""
        import signal

        def test_it(robustness):
            before = signal.signal(signal.SIGALRM, lambda *_: None)
            try:
                mine = signal.getsignal(signal.SIGALRM)
                assert robustness["x"].accuracy >= 0.5
                assert signal.getsignal(signal.SIGALRM) is mine
                assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
            finally:
                signal.signal(signal.SIGALRM, before)
        """
    )
    slow.runpytest("--robustcheck-timeout=600").assert_outcomes(passed=1)


@pytest.mark.parametrize("value", ["0", "-1", "soon", "inf", "nan"])
def test_limit_must_be_a_number_of_seconds(slow, value):
    result = slow.runpytest(f"--robustcheck-timeout={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --robustcheck-timeout: must be a number of seconds > 0, *"])


def test_it_works_without_capture(slow):
    slow.runpytest("-p", "no:capture").assert_outcomes(passed=2)
