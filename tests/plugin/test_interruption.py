"""Runs that are ended in the middle: what they say, what they keep, and how the next one ends."""

import re
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

TESTS = """
import os, time
import pytest
import robustcheck

VIEWS = ("x", "Adv_20", "JPG_5(Adv_20)")


@pytest.fixture(autouse=True, scope="module")
def stop(robustcheck_classifier):
    calls = []

    def count(module, args):
        if len(args[0]) <= 2:  # what is tried of the model before it begins
            return
        if len(calls) >= int(os.environ.get("CALLS", "999")):
            WHAT
        calls.append(1)

    handle = robustcheck_classifier.module.register_forward_pre_hook(count)
    yield
    handle.remove()


def test_it(robustness):
    robustness.evaluate(*VIEWS)
    assert robustness["Adv_20"].accuracy <= 0.5 * robustness["x"].accuracy
"""
RAISES = {
    "ctrl-c": "raise KeyboardInterrupt",
    "sigterm": "os.kill(os.getpid(), 15)",
    "exception": "raise ZeroDivisionError('the model broke')",
}


@pytest.fixture
def run(repository, monkeypatch):
    """Run pytest on a model that is ended at its call number `calls`."""

    def run(how, calls, *options):
        monkeypatch.setenv("CALLS", str(calls))
        repository.makepyfile(TESTS.replace("WHAT", RAISES[how]))
        return repository.runpytest("--robustcheck-batch-size=4", *options, no_reraise_ctrlc=True)

    return run


def table(result):
    return re.findall(r"^(?:x|Adv|JPG)\S* .*%.*$", result.stdout.str(), re.MULTILINE)


@pytest.mark.parametrize("how", RAISES)
def test_the_next_run_goes_on_from_there(run, how):
    first = run(how, 20)
    assert first.ret == (1 if how == "exception" else 2)
    if how != "exception":
        done = re.search(r"toy: stopped at (\d+) of 40 images of forty", first.stdout.str())
        assert 0 < int(done[1]) < 40
        first.stdout.fnmatch_lines(["*/.pytest_cache/d/robustcheck: run the same command again to continue"])
    second = run(how, 999)
    second.assert_outcomes(passed=1)
    assert table(second) == table(run(how, 999, "--robustcheck-store=off"))
    stored, of = map(int, re.search(r"records: (\d+) of (\d+) from the store", second.stdout.str()).groups())
    assert 0 < stored < of == 120


def test_without_a_store_it_says_that_nothing_is_kept(run):
    run("ctrl-c", 20, "--robustcheck-store=off").stdout.fnmatch_lines(
        ["toy: stopped at * of 40 images of forty", "*nothing is kept, without a record store*"]
    )


def test_sigterm_elsewhere_kills_as_ever(repository):
    repository.makepyfile(
        "import time, pathlib\ndef test_it():\n    pathlib.Path('there').touch()\n    time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest"], cwd=repository.path, stdout=subprocess.DEVNULL
    )
    while not (repository.path / "there").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait() == -signal.SIGTERM
