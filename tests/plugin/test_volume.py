"""How much a run prints, at each verbosity, and in which colours."""

import pytest


@pytest.fixture
def two_claims(repository):
    repository.makepyfile(
        test_it="""
        def test_clean(robustness):
            assert robustness["x"].accuracy >= 0.5

        def test_adv(robustness):
            assert robustness["Adv_20"].accuracy >= 0.8
        """
    )
    return repository


def section(result):
    lines = result.outlines
    start = next(at for at, line in enumerate(lines) if line.strip("=") == " robustcheck ")
    return lines[start + 1 : next(at for at, line in enumerate(lines) if " short test summary " in line)]


def test_with_q_there_are_the_table_and_the_verdicts_alone(two_claims):
    lines = section(two_claims.runpytest("-q"))
    heads = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert heads == ["view", "x", "Adv_20", "claims"]
    assert [line for line in lines if line.startswith("  HOLDS")] == [
        "  HOLDS     test_clean: accuracy(x) >= 0.5"
    ]


def test_with_q_tables_of_several_models_say_whose_they_are(two_claims):
    conftest = two_claims.path / "conftest.py"
    text = conftest.read_text()
    fixture = '@pytest.fixture(scope="session")\ndef robustcheck_model():'
    assert fixture in text
    several = '@pytest.fixture(scope="session", params=["one", "two"])\ndef robustcheck_model(request):'
    conftest.write_text(text.replace(fixture, several).replace('name="toy"', "name=request.param"))
    lines = section(two_claims.runpytest("-q"))
    tables = [at for at, line in enumerate(lines) if line.startswith("view ")]
    named = [line.split(",")[0] for line in lines if line.startswith(("model ", "images "))]
    assert named == ["model      one", "images     forty", "model      two", "images     forty"]
    assert (
        tables[0] < lines.index(next(line for line in lines if line.startswith("model      one"))) < tables[1]
    )


@pytest.mark.parametrize("options", [["-q"], ["-q", "-n2"]], ids=" ".join)
def test_with_q_a_store_that_takes_nothing_is_reported(two_claims, options):
    (two_claims.path / "store").mkdir()
    two_claims.makeconftest(
        two_claims.path.joinpath("conftest.py").read_text()
        + """
from pathlib import Path
from robustcheck.store import store

def refuse(path, content):
    raise store.RobustcheckError(f"cannot write {path}: no space left")

store.atomic_write = refuse
"""
    )
    result = two_claims.runpytest_subprocess(*options, "--robustcheck-store=store")
    result.stdout.fnmatch_lines(["cannot write *: no space left. The run continues without the record store"])


@pytest.mark.parametrize(("options", "count"), [([], 4), (["-v"], 10)])
def test_the_provenance_is_in_four_lines_and_whole_with_v(two_claims, options, count):
    lines = section(two_claims.runpytest(*options))
    first = lines.index("", 1) + 1
    provenance = [line for line in lines[first : lines.index("", first)] if not line.startswith(" ")]
    assert len(provenance) == count
    assert provenance[0].startswith("model      toy, weights ")


RED, GREEN = "\x1b[31m", "\x1b[32m"


def test_verdicts_are_in_colour_on_a_terminal(two_claims, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = section(two_claims.runpytest("--color=yes"))
    assert any(line.startswith(f"  {GREEN}HOLDS\x1b[0m     test_clean: ") for line in lines)
    assert any(line.startswith(f"  {RED}REFUTED\x1b[0m   test_adv: ") for line in lines)


def test_there_is_no_colour_where_it_is_not_wanted(two_claims, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in two_claims.runpytest().stdout.str()
