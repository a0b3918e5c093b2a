"""What a red run says: the FAILED and ERROR lines at 80 columns, and the message of an assertion."""

import pytest

SOURCE = """
import pytest
import robustcheck


def test_and(robustness):
    assert robustness["x"].accuracy >= 0.5 and robustness["Adv_20"].accuracy >= 0.8

def test_message(robustness):
    assert robustness["Adv_20"].accuracy >= 0.8, "our own words"

def test_not(robustness):
    assert not robustness["x"].accuracy >= 0.5

def test_all(robustness):
    assert all(robustness[view].accuracy >= 0.85 for view in ("x", "Adv_20"))

def test_or(robustness):
    assert robustness["Adv_20"].accuracy >= 0.8 or robustness["Adv_20"].accuracy >= 0.7

def test_check(robustness):
    robustness.check("accuracy(x) >= 95%")

def test_other(robustness):
    assert robustness["x"].accuracy >= 0.5 and 1 + 1 == 3

def test_view(robustness):
    assert robustness["Adw_20"].accuracy >= 0.5

@pytest.fixture
def network():
    return robustcheck.load_model("resnet51")

def test_set_up(network, robustness):
    pass
"""


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("-n", "1"), marks=pytest.mark.slow)], ids=["serial", "xdist"]
)
def test_the_short_summary_begins_with_the_numbers_or_with_what_is_wrong(repository, workers):
    if workers:
        pytest.importorskip("xdist")
    repository.makepyfile(test_it=SOURCE)
    (repository.path / "robustcheck.toml").write_text('[claims]\nclean = "accuracy(x) >= 95%"\n')
    result = repository.runpytest("test_it.py", "robustcheck.toml", *workers)
    result.assert_outcomes(failed=9, errors=1)
    adv, *_ = (line.split()[1] for line in result.outlines if line.startswith("Adv_20 "))
    start = next(at for at, line in enumerate(result.outlines) if "short test summary info" in line)
    lines = result.outlines[start + 1 : -1]
    assert max(map(len, lines)) <= 80
    shown = dict(line.split(" - ", 1) for line in lines)
    for test, begun in (
        ("FAILED test_it.py::test_other", "assert (accuracy(x) >= 0.5 holds and "),
        ("FAILED test_it.py::test_view", "unknown step 'Adw': did you mean "),
        ("ERROR test_it.py::test_set_up", "unknown model 'resnet51': did you "),
    ):
        assert shown.pop(test).startswith(begun)
    assert shown == {
        "FAILED test_it.py::test_and": f"{adv} %, required >= 80.0 %",
        "FAILED test_it.py::test_message": f"{adv} %, required >= 80.0 %",
        "FAILED test_it.py::test_not": "90.0 %, required < 50.0 %",
        "FAILED test_it.py::test_all": f"{adv} %, required >= 85.0 %",
        "FAILED test_it.py::test_or": f"{adv} %, required >= 80.0 % and 1 more",
        "FAILED test_it.py::test_check": "90.0 %, required >= 95.0 %",
        "FAILED robustcheck.toml::clean": "90.0 %, required >= 95.0 %",
    }


def test_in_ci_it_is_one_line_too(repository, monkeypatch):
    monkeypatch.setenv("CI", "true")
    repository.makepyfile(test_it=SOURCE)
    result = repository.runpytest("test_it.py", "-k", "test_and or test_check")
    result.stdout.fnmatch_lines(
        [
            "FAILED test_it.py::test_and - *%, required >= 80.0 %",
            "FAILED test_it.py::test_check - 90.0 %, required >= 95.0 %",
            "*= 2 failed, *",
        ],
        consecutive=True,
    )


def test_the_message_explains_the_part_that_failed_and_names_no_class_of_ours(repository):
    repository.makepyfile(test_it=SOURCE)
    result = repository.runpytest("test_it.py")
    shown = [line for line in result.outlines if line.startswith("E ")]
    for name in ("AssertionError", "ClaimFailed", "RobustcheckError", "NotationError"):
        assert not any(f"{name}:" in line for line in shown)
    assert sum("holds" in line for line in shown) == 1  # where another part of the assertion failed
    result.stdout.fnmatch_lines(
        [
            "E       our own words",
            "E       REFUTED: accuracy(Adv_20) >= 0.8",
            "E         measured *, required*",
        ]
    )
    ours = [line for line in shown if line.startswith(("E       REFUTED", "E         "))]
    assert max(map(len, ours)) <= 80


@pytest.mark.slow
def test_without_rewritten_assertions_it_is_the_same(repository):
    repository.makepyfile(test_it=SOURCE)
    result = repository.runpytest_subprocess("test_it.py", "--assert=plain", "-k", "test_and")
    result.stdout.fnmatch_lines(
        ["E       REFUTED: accuracy(Adv_20) >= 0.8", "FAILED test_it.py::test_and - *%, required >= 80.0 %"]
    )
