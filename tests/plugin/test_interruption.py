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


ARGUMENT = """
from pathlib import Path

class Argument:
    def __repr__(self):
        Path("formatted").touch()
        return "an argument"

def work(argument):
    try:
        raise ValueError(argument)
    except ValueError:
        stop()

def stop():
    raise KeyboardInterrupt

def test_it():
    work(Argument())
"""


@pytest.mark.parametrize("full", [(), ("--full-trace",)])
def test_arguments_are_formatted_where_they_are_shown(repository, full):
    repository.makepyfile(test_it=ARGUMENT)
    result = repository.runpytest(*full, no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "test_it.py:15: KeyboardInterrupt" in result.stdout.str()
    assert (repository.path / "formatted").exists() == bool(full)


def test_a_second_one_is_ignored_while_the_first_is_noted(repository):
    (repository.path / "conftest.py").write_text(
        """
import signal

def pytest_keyboard_interrupt():
    print("ignored:", signal.getsignal(signal.SIGINT) is signal.SIG_IGN)

def pytest_unconfigure():
    print("after:", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    )
    repository.makepyfile("def test_it():\n    raise KeyboardInterrupt")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        result = repository.runpytest("-s", no_reraise_ctrlc=True)
    finally:
        signal.signal(signal.SIGINT, before)
    result.stdout.fnmatch_lines(["*ignored: True", "*after: True"])


@pytest.mark.parametrize("hook", ["sessionfinish", "terminal_summary"])
@pytest.mark.parametrize("first", ["raise KeyboardInterrupt", "pass"])
def test_reports_that_are_interrupted_end_in_a_line(repository, hook, first):
    (repository.path / "conftest.py").write_text(f"def pytest_{hook}():\n    raise KeyboardInterrupt")
    repository.makepyfile(f"def test_it():\n    {first}")
    result = repository.runpytest(no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    text = result.stdout.str() + result.stderr.str()
    assert "interrupted again: reports are incomplete" in text
    assert "Traceback" not in text
