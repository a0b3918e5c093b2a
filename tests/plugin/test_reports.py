"""`--robustcheck-report`, `-json`, `-records`, `-artifacts`; JUnit; what GitHub shows."""

import json
import re
import shlex
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from robustcheck.records.tables import read

TESTS = """
import pytest

def test_holds(robustness):
    assert robustness["x"].accuracy >= 0.8
    assert robustness.recovery("JPG(Adv_20)") <= 1.5

@pytest.mark.parametrize("share", [0.99])
def test_fails(robustness, share):
    assert robustness["JPG(Adv_20)"].accuracy >= share

def test_refused(robustness):
    assert robustness.recovery("JPG(Noise_1)") >= 0.5

def test_other():
    assert 1 + 1 == 3
"""
JUNIT = ("--junitxml=j.xml", "-o", "junit_family=xunit1")
ALL = ("--robustcheck-report=out/r.html", "--robustcheck-json=out/r.json", "--robustcheck-records=out/r.csv")


@pytest.fixture
def asked(repository):
    repository.makepyfile(TESTS)
    return repository


def properties(path, element):
    tree = ET.parse(path)
    return {
        case.get("name"): {p.get("name"): p.get("value") for p in case.findall("properties/property")}
        for case in tree.iter(element)
    }


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["serial", "xdist"])
def test_everything_that_is_asked_for_is_written(asked, workers, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(asked.path / "summary.md"))
    result = asked.runpytest(*ALL, *JUNIT, "--robustcheck-artifacts=evidence", *workers)
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(
        ["report written to *r.html (*)", "json written to *", "records written to *"]
    )

    plain = json.loads((asked.path / "out" / "r.json").read_text())
    claims = {claim["text"]: claim for claim in plain["claims"]}
    failing = claims["accuracy(JPG(Adv_20)) >= 0.99"]
    line = TESTS.splitlines().index('    assert robustness["JPG(Adv_20)"].accuracy >= share')
    name = next(asked.path.glob("test_*.py")).name
    assert (failing["file"], failing["failed"], failing["attack"]) == (name, True, "blind")
    assert failing["line"] in {line, line + 1}
    assert claims["accuracy(x) >= 0.8"]["estimate"] == 0.9
    (trouble,) = plain["troubles"]
    assert "test_refused" in trouble["test"]
    assert "is made from no attack" in trouble["text"]

    cases = properties(asked.path / "j.xml", "testcase")
    assert cases["test_fails[0.99]"]["robustcheck.1.verdict"] == "refuted"
    assert cases["test_fails[0.99]"]["robustcheck.1.N"] == "40"
    assert cases["test_holds"]["robustcheck.2.claim"] == "recovery(JPG(Adv_20)) <= 1.5"
    assert cases["test_other"] == {}
    assert not any("robustcheck_claim" in known for known in cases.values())
    (suite,) = properties(asked.path / "j.xml", "testsuite").values()
    assert suite["robustcheck.claims.refuted"] == "1"
    assert suite["robustcheck.model"].startswith("toy, weights ")

    page = (asked.path / "out" / "r.html").read_text()
    assert "data:image/webp;base64," in page
    assert str(asked.path) not in page
    assert "2 of 3" in page
    assert re.search(
        rf"^::error file={name},line={failing['line']},title=REFUTED", result.stdout.str(), re.MULTILINE
    )
    assert (
        "❌ **Of 3 claims, 1 is refuted; 1 test failed for another reason.**"
        in (asked.path / "summary.md").read_text()
    )

    records, header = read(asked.path / "out" / "r.csv")
    assert len(records) == 40
    assert len(header["run"]["claims"]) == 3
    (folder,) = (asked.path / "evidence").iterdir()
    told = (folder / "README.txt").read_text()
    assert "pytest 'test_" in told.splitlines()[-1]
    assert "[0.99]'" in told.splitlines()[-1]


def test_junit_file_keeps_to_its_family(asked):
    """The schema of xunit2, pytest's default, allows no properties of test cases: the suite has them."""
    result = asked.runpytest("--junitxml=j.xml", "-k", "not other")
    result.stdout.fnmatch_lines(["junit: the claims' numbers are properties of the suite *"])
    for case in ET.parse(asked.path / "j.xml").iter("testcase"):
        assert {child.tag for child in case} <= {"skipped", "error", "failure", "system-out", "system-err"}
    (suite,) = properties(asked.path / "j.xml", "testsuite").values()
    name = next(asked.path.glob("test_*.py")).name
    assert suite[f"robustcheck[{name}::test_holds#2].claim"] == "recovery(JPG(Adv_20)) <= 1.5"
    assert suite[f"robustcheck[{name}::test_fails[0.99]#1].verdict"] == "refuted"
    assert suite["robustcheck.claims.refuted"] == "1"


def test_paths_hold_for_a_test_that_changes_the_directory(asked):
    asked.makepyfile(
        """
        def test_elsewhere(tmp_path, monkeypatch, robustness):
            monkeypatch.chdir(tmp_path)
            assert robustness["x"].accuracy <= 0.01

        def test_gone(tmp_path, monkeypatch, robustness):
            import os
            (tmp_path / "gone").mkdir()
            os.chdir(tmp_path / "gone")
            os.rmdir(tmp_path / "gone")
            try:
                assert robustness["x"].accuracy <= 0.02
            finally:
                os.chdir(os.path.dirname(__file__))
        """
    )
    written = ("out", "store", "evidence", "robustcheck-baselines")
    options = (
        "--robustcheck-store=store",
        "--robustcheck-artifacts=evidence",
        "--robustcheck-records=out/r.csv",
    )
    result = asked.runpytest(*options, "--robustcheck-save=base", "--basetemp=temporary")
    result.assert_outcomes(failed=2)
    assert {name for name in written if (asked.path / name).is_dir()} == set(written)
    assert not [path for name in written for path in (asked.path / "temporary").rglob(name)]
    result.stdout.fnmatch_lines(["evidence in */evidence/*", "records written to out?r.csv (*)"])


def test_evidence_of_names_that_are_no_text(asked):
    """A folder's name of bytes that the locale can't decode stands in the command as a shell reads it."""
    from PIL import Image

    try:
        folder = asked.path / "caf\udce9" / "class"
        folder.mkdir(parents=True)
    except (OSError, UnicodeError):
        pytest.skip("the file system takes no such name")
    Image.new("RGB", (20, 20)).save(folder / "a.png")
    conftest = asked.path / "conftest.py"
    conftest.write_text(conftest.read_text().rpartition("@pytest.fixture")[0])
    asked.makepyfile("def test_it(robustness):\n    assert robustness['Adv_1'].top_probability <= 0.0")
    option = "--robustcheck-images=caf\udce9"
    asked.runpytest(option, "--robustcheck-artifacts=evidence").assert_outcomes(failed=1)
    (told,) = (asked.path / "evidence").rglob("README.txt")
    assert told.read_text("utf-8").splitlines()[-1].endswith(r"$'--robustcheck-images=caf\xe9'")


def test_evidence_is_what_the_records_say(asked):
    import torch

    asked.runpytest(
        "-k", "fails", "--robustcheck-artifacts=evidence", "--robustcheck-seed=3"
    ).assert_outcomes(failed=1)
    (folder,) = (asked.path / "evidence").iterdir()
    records, _ = read(folder / "records.csv")
    images = [place for place in sorted(folder.iterdir()) if place.is_dir()]
    assert 0 < len(images) == len(records) <= 8
    assert (records.columns[records.views[0]]["prediction"] >= 0).all()
    for place in images:
        assert {file.name for file in place.iterdir()} == {"x.png", "Adv_20.png", "JPG-Adv_20.png"}
        clean, attacked = (
            torch.frombuffer(bytearray(Image.open(place / f"{name}.png").tobytes()), dtype=torch.uint8).int()
            for name in ("x", "Adv_20")
        )
        assert (clean - attacked).abs().max() == 20
    assert (folder / "README.txt").read_text().splitlines()[-1].endswith("--robustcheck-seed=3")


def test_command_of_the_evidence_runs_the_test_again(asked):
    typed = ["--robustcheck-store-limit=20G", "--robustcheck-seed=3", "--robustcheck-alpha=5e-2"]
    asked.runpytest("-k", "fails", "--robustcheck-artifacts=evidence", *typed)
    (folder,) = (asked.path / "evidence").iterdir()
    name, *arguments = shlex.split((folder / "README.txt").read_text().splitlines()[-1])
    assert (name, arguments[1:]) == ("pytest", typed[1:])
    result = asked.runpytest(*arguments)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["run * seed 3, *"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--robustcheck-report=r.txt", "*must be a path that ends in .html or .htm, got 'r.txt'"),
        ("--robustcheck-records=r.xlsx", "*must be a path that ends in .csv or .parquet, *"),
        ("--robustcheck-report=folder.html", "*is a folder; give the path of a file"),
        ("--robustcheck-artifacts=file", "*is a file; give a folder"),
    ],
)
def test_report_that_cannot_be_written_is_a_usage_error_before_the_run(asked, option, message):
    (asked.path / "folder.html").mkdir()
    (asked.path / "file").touch()
    result = asked.runpytest(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


@pytest.mark.parametrize(
    ("option", "package"), [("report=r.html", "jinja2"), ("records=r.parquet", "pyarrow")]
)
def test_missing_package_is_named_before_the_run(asked, uninstall, option, package):
    uninstall(package)
    result = asked.runpytest(f"--robustcheck-{option}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *which is not installed: pip install 'pytest-robustcheck[[]*'"])


def test_page_is_not_overwritten_where_nothing_was_evaluated(asked):
    (asked.path / "r.html").write_text("the last one")
    result = asked.runpytest("--robustcheck-report=r.html", "-k", "other")
    result.stdout.fnmatch_lines(["no report was written: nothing was evaluated"])
    assert (asked.path / "r.html").read_text() == "the last one"


def test_path_in_the_ini_file_is_meant_from_there(asked, monkeypatch):
    asked.makeini("[pytest]\nrobustcheck_json = out/r.json")
    folder = asked.mkdir("elsewhere")
    monkeypatch.chdir(folder)
    asked.runpytest("..", "-k", "holds").assert_outcomes(passed=1)
    assert (asked.path / "out" / "r.json").is_file()


def test_run_without_reports_imports_none_of_them(repository):
    repository.makepyfile(
        """
        def test_it(robustness):
            assert robustness["x"].accuracy >= 0.8
        """
    )
    repository.makeconftest(
        (repository.path / "conftest.py").read_text()
        + """

def pytest_unconfigure():
    import sys
    heavy = {"pyarrow", "robustcheck.report.formats.html", "robustcheck.report.formats.json"}
    heavy |= {"robustcheck.report.pictures", "robustcheck.report.formats.github"}
    print("imported:", sorted(heavy & set(sys.modules)))
"""
    )
    result = repository.runpytest_subprocess("-s", "--robustcheck-store=off")  # a store imports pyarrow
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["imported: []"])


def test_claims_have_ids_that_stay_and_states_that_know_of_xfail(repository):
    repository.makepyfile(
        """
        import pytest

        def test_two(robustness):
            assert robustness["x"].accuracy >= 0.1
            assert robustness.check("accuracy(x) >= 20%")

        @pytest.mark.xfail(reason="not yet")
        def test_more(robustness):
            assert robustness["x"].accuracy >= 0.9999
        """
    )
    (repository.path / "robustcheck.toml").write_text('[claims]\nclean = "accuracy(x) >= 10%"\n')
    result = repository.runpytest("--robustcheck-json=run.json")
    result.assert_outcomes(passed=2, xfailed=1)
    claims = json.loads((repository.path / "run.json").read_text())["claims"]
    name = "test_claims_have_ids_that_stay_and_states_that_know_of_xfail.py"
    assert {claim["id"]: (claim["role"], claim["state"], claim["verdict"]) for claim in claims} == {
        f"{name}::test_two#1": ("claim", "holds", "holds"),
        f"{name}::test_two#2": ("claim", "holds", "holds"),
        f"{name}::test_more#1": ("claim", "expected to fail", "refuted"),
        "robustcheck.toml::clean": ("claim", "holds", "holds"),
    }
