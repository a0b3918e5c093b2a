"""Other plugins of pytest, each on a small repository: verdicts, counts and reports are as without them.

They are in the extra `plugins`; a test is skipped where its plugin is not installed.
"""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import entry_points

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

TESTS = """
import pytest

def test_holds(robustness):
    assert robustness["x"].accuracy >= 0.3

def test_fails(robustness):
    assert robustness["Adv_1"].accuracy >= 0.99

@pytest.mark.xfail(reason="known")
def test_expected(robustness):
    assert robustness["Adv_1"].accuracy >= 0.98
"""
SLEEP = """
import time

@pytest.fixture(scope="module", autouse=True)
def slow(robustness):
    robustness.classifier.module.register_forward_hook(lambda _m, _a, output: time.sleep(2.5 * (len(output) > 1)))
"""
INSTALLED = {point.name for point in entry_points(group="pytest11")}
USUAL = {"passed": 1, "failed": 1, "xfailed": 1}
PLUGINS = {
    "randomly": (["-p", "randomly", "-p", "no:cacheprovider"], USUAL),
    "rerunfailures": (["-p", "rerunfailures", "--reruns=1"], USUAL),
    "flaky": (
        ["-p", "flaky", "--force-flaky", "--no-flaky-report"],
        {**USUAL, "xfailed": 2},
    ),  # it lists both attempts
    "pytest-retry": (["-p", "pytest-retry", "--retries=1"], USUAL),
    "timeout": (["-p", "timeout", "--timeout=60"], USUAL),
    "pytest_cov": (["-p", "pytest_cov", "--cov=.", "--cov-report="], USUAL),
    "sugar": (["-p", "sugar"], USUAL),
    "html": (["-p", "metadata", "-p", "html", "-p", "html_fixtures", "--html=page.html"], USUAL),
    "repeat": (["-p", "repeat", "--count=2"], {"passed": 2, "failed": 2, "xfailed": 2}),
    "pytest_order": (["-p", "pytest_order"], USUAL),
    "pytest-split": (["-p", "pytest-split", "--splits=1", "--group=1"], USUAL),
    "subtests": (["-p", "subtests"], USUAL),
    "asyncio": (["-p", "asyncio"], USUAL),
    "pytest_github_actions_annotate_failures": (["-p", "pytest_github_actions_annotate_failures"], USUAL),
    "allure_pytest": (["-p", "allure_pytest", "--alluredir=allure"], USUAL),
}


def run(repository, *options):
    """Run pytest with our plugin and those that are named, no others; return the result and its JSON report."""
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-Wdefault"}
    command = [sys.executable, "-m", "pytest", "-p", "robustcheck", "-p", "benchmark", "-rA"]
    done = subprocess.run(
        [*command, *options, "--robustcheck-json=run.json"],
        cwd=repository.path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    report = repository.path / "run.json"
    return done, json.loads(report.read_text()) if report.exists() else {}


def counts(done):
    """Return the outcomes that the short summary lists."""
    words = [line.split()[0] for line in done.stdout.splitlines() if "::" in line and line.split()]
    names = {"PASSED": "passed", "FAILED": "failed", "XFAIL": "xfailed", "ERROR": "errors"}
    found = {}
    for word in words:
        if word in names:
            found[names[word]] = found.get(names[word], 0) + 1
    return found


def require(plugin):
    if plugin not in INSTALLED:
        pytest.skip(f"{plugin} is not installed: pip install 'pytest-robustcheck[plugins]'")


@pytest.fixture
def gate(repository):
    repository.makepyfile(test_it=TESTS)
    return repository


@pytest.mark.parametrize("plugin", PLUGINS)
def test_verdicts_are_as_without_it(gate, plugin):
    require(plugin)
    options, expected = PLUGINS[plugin]
    done, report = run(gate, *options)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert counts(done) == expected, done.stdout
    states = sorted(claim["state"] for claim in report["claims"])
    each = expected["passed"]  # with pytest-repeat, two tests
    assert states == sorted(["holds", "refuted", "expected to fail"] * each)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_gate_that_could_not_be_evaluated_is_red(gate, plugin):
    require(plugin)
    conftest = gate.path / "conftest.py"
    conftest.write_text(conftest.read_text().rpartition("@pytest.fixture")[0])
    options, _ = PLUGINS[plugin]
    done, _ = run(gate, "--robustcheck-images=nowhere", *options)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert counts(done) == {"errors": 6 if plugin == "repeat" else 3}, done.stdout


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["serial", "xdist"])
def test_allure_gets_verdicts_the_table_and_the_worst_images(gate, workers):
    require("allure_pytest")
    if workers:
        require("xdist")
    folder = gate.path / "allure"
    done, _ = run(gate, "-p", "allure_pytest", f"--alluredir={folder}", *workers)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    results = [json.loads(path.read_text()) for path in folder.glob("*-result.json")]
    attached = {result["name"]: result.get("attachments", []) for result in results}
    assert set(attached) == {"test_holds", "test_fails", "test_expected"}

    def texts(test):
        return {
            each["name"]: (folder / each["source"]).read_text()
            for each in attached[test]
            if each["type"] == "text/plain"
        }

    def pictures(test):
        return {
            each["name"]: folder / each["source"] for each in attached[test] if each["type"] == "image/png"
        }

    assert "accuracy(x) >= 0.3" in texts("test_holds")["robustcheck: holds"]
    assert re.search(r"^x +[\d.]+ %", texts("test_holds")["robustcheck: table"], re.MULTILINE)
    assert not pictures("test_holds")
    assert "accuracy(Adv_1) >= 0.99" in texts("test_fails")["robustcheck: refuted"]
    found = pictures("test_fails")
    assert len(found) == 6, "three images under x and Adv_1"
    assert {name.rpartition(": ")[2] for name in found} == {"x", "Adv_1"}
    for path in found.values():
        with Image.open(path) as image:
            assert image.mode == "RGB"


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_limit_per_test_does_not_count_an_evaluation(gate, method):
    require("timeout")
    conftest = gate.path / "conftest.py"
    conftest.write_text(conftest.read_text() + SLEEP)
    gate.makepyfile(
        test_it="""
        import pytest, time

        @pytest.mark.timeout(120)
        def test_loads(robustness):
            pass

        def test_gate(robustness):
            assert robustness["JPG(Adv_1)"].accuracy >= 0.1

        def test_hangs(robustness):
            assert robustness["x"].accuracy >= 0.1
            time.sleep(60)
        """
    )
    done, _ = run(gate, "-p", "timeout", "--timeout=15", f"--timeout-method={method}", "-v")
    gate_passed = re.search(r"py::test_gate.*?PASSED.*?py::test_hangs", done.stdout, re.DOTALL)
    assert gate_passed, done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "imeout" in done.stdout + done.stderr


def test_limit_per_test_does_not_count_an_evaluation_that_workers_share(gate):
    require("timeout")
    require("xdist")
    conftest = gate.path / "conftest.py"
    conftest.write_text(conftest.read_text() + SLEEP.replace("2.5", "0.4"))
    tests = """
        import pytest

        @pytest.mark.timeout(120)
        def test_loads(robustness):
            pass

        @pytest.mark.parametrize("view", ["x", "JPG(Adv_1)"])
        def test_gate(robustness, view):
            assert robustness[view].accuracy >= 0.1
    """
    gate.makepyfile(test_it=tests, test_other=tests)
    options = ["-p", "timeout", "--timeout=15", "-p", "xdist", "-n", "2", "--dist=loadfile"]
    done, report = run(gate, *options, "--junit-xml=junit.xml")
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert counts(done) == {"passed": 6}
    assert [claim["state"] for claim in report["claims"]] == ["holds"] * 4
    cases = ET.parse(gate.path / "junit.xml").iter("testcase")
    (seconds,) = [float(case.get("time")) for case in cases if case.get("name").startswith("evaluate[")]
    assert seconds > 12, "the sum over two workers: more than the limit in one of them"
