"""A test that is run several times, in several workers or in a process of its own counts once."""

import json
import os
import re

import pytest

TESTS = """
def test_holds(robustness):
    assert robustness["x"].accuracy >= 0.3

def test_fails(robustness):
    assert robustness["x"].accuracy <= 0.01

def test_trust_is_misplaced(robustness):
    assert robustness["Adv_20"].accuracy <= 0.9
"""
TWICE = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    for _ in range(2):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
    return True
"""
FORKED = """
import os, pickle, tempfile
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    with tempfile.TemporaryFile() as file:
        child = os.fork()
        if not child:
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            pack = item.config.hook.pytest_report_to_serializable
            pickle.dump([pack(config=item.config, report=report) for report in reports], file)
            file.flush()
            os._exit(0)
        os.waitpid(child, 0)
        file.seek(0)
        for sent in pickle.load(file):
            report = item.config.hook.pytest_report_from_serializable(config=item.config, data=sent)
            item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


THREADS_AT_WORK = """
import torch
torch.set_num_threads(2)
torch.nn.functional.conv2d(torch.ones(4, 8, 64, 64), torch.ones(8, 8, 3, 3)).exp_()
"""
"""The threads of OpenMP, which a fork does not copy."""


def run(repository, *options, run=None):
    """Run the tests; return the claims of the JSON file, the number of annotations, and the result."""
    result = (run or repository.runpytest)("--robustcheck-json=run.json", *options)
    claims = json.loads((repository.path / "run.json").read_text())["claims"]
    return claims, sum(line.startswith("::error") for line in result.outlines), result


@pytest.fixture
def gate(repository, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    repository.makepyfile(test_it=TESTS)
    return repository


def add_to_conftest(repository, text):
    path = repository.path / "conftest.py"
    path.write_text(path.read_text() + text)


def test_the_last_of_several_attempts_counts(gate):
    once, annotations, _ = run(gate)
    assert [claim["failed"] for claim in once] == [False, True, False]
    assert annotations == 1
    add_to_conftest(gate, TWICE)
    twice, annotations, result = run(gate, "--junitxml=j.xml", "-o", "junit_family=xunit1")
    result.assert_outcomes(passed=4, failed=2)
    assert twice == once
    assert annotations == 1
    assert "robustcheck.2" not in (gate.path / "j.xml").read_text()


def test_an_attempt_that_passes_takes_back_those_that_failed(gate):
    gate.makepyfile(
        test_it="""
        attempts = []

        def test_trust_at_last(robustness):
            attempts.append(1)
            assert robustness["x"].accuracy >= (0.99 if len(attempts) == 1 else 0.3)
        """
    )
    add_to_conftest(gate, TWICE)
    claims, annotations, _ = run(gate, "--robustcheck-save=base")
    assert [(claim["text"], claim["failed"]) for claim in claims] == [("accuracy(x) >= 0.3", False)]
    assert annotations == 0
    (baseline,) = gate.path.rglob("base.csv")
    assert "trust" not in baseline.read_text()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_results_of_processes_of_their_own_come_back(gate):
    serial, _, plain = run(gate)
    add_to_conftest(gate, THREADS_AT_WORK + FORKED)
    forked, annotations, result = run(
        gate, "--robustcheck-store=off", "--robustcheck-save=base", run=gate.runpytest_subprocess
    )
    result.assert_outcomes(passed=2, failed=1)
    assert forked == serial
    assert annotations == 1
    rows = [line for line in plain.outlines if re.match(r"(x|Adv_20) .*%", line)]
    assert rows == [line for line in result.outlines if re.match(r"(x|Adv_20) .*%", line)]
    assert len(rows) == 2
    assert list(gate.path.rglob("base.csv"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_an_error_that_processes_of_their_own_share_is_told_once(gate):
    conftest = gate.path / "conftest.py"
    conftest.write_text(conftest.read_text().rpartition("@pytest.fixture")[0] + FORKED)
    result = gate.runpytest("--robustcheck-images=nowhere")
    result.assert_outcomes(errors=3)
    assert sum(line.startswith("not evaluated, see test_it.py::test_holds") for line in result.outlines) == 2
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.slow
class TestXdist:
    """What the controller of pytest-xdist makes of its workers."""

    @pytest.fixture(autouse=True)
    def _needs_xdist(self):
        pytest.importorskip("xdist")

    @pytest.mark.parametrize("spec", ["popen//id=alpha", "2*popen//python=python3"])
    def test_workers_may_have_any_name(self, gate, spec):
        claims, _, result = run(gate, "--tx", spec, "--dist=load")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert len(claims) == 3

    def test_each_worker_runs_each_test_and_a_claim_counts_once(self, gate):
        claims, annotations, result = run(gate, "--tx", "2*popen", "--dist=each")
        result.assert_outcomes(passed=4, failed=2)
        assert [claim["failed"] for claim in claims] == [False, True, False]
        assert annotations == 1

    def test_a_crashed_worker_leaves_the_claims_that_it_reported(self, gate):
        gate.makepyfile(test_it=TESTS + "\ndef test_crash():\n    import os\n    os._exit(3)\n")
        claims, _, result = run(gate, "-n1", "--robustcheck-save=base", "--robustcheck-store=off")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert [claim["failed"] for claim in claims] == [False, True, False]
        result.stdout.fnmatch_lines(["1 worker of pytest-xdist crashed*", "*baseline base was not saved*"])
        assert not list(gate.path.rglob("base.csv"))
