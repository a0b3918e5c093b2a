"""Hundreds of inputs that are wrong: each ends in one of our errors, none in a stack of ours or a wrong number."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from tests.malformed import inputs


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("malformed")
    return [inputs.outcome(case) for case in inputs.cases(folder)], folder


def test_every_malformed_input_ends_in_an_error_that_helps(outcomes, capsys):
    results, folder = outcomes
    problems = [f"{each.case.kind}, {each.case.name}: {each.problem}" for each in results if each.problem]
    assert not problems, "\n".join(problems)
    assert not list(folder.rglob("it-ran")), "code in an input was run"
    counts = Counter(each.case.kind for each in results)
    with capsys.disabled():
        sys.stdout.write(
            f"\nmalformed inputs: {len(results)} ({', '.join(f'{k} {n}' for k, n in counts.items())}) "
        )
    assert len(results) >= 400
    assert min(counts.values()) >= 10


def test_files_and_columns_are_named(outcomes):
    """A message about a file names it; one about a text marks the column."""
    results, folder = outcomes
    for each in results:
        if each.case.kind in {"weights", "programs", "claim files"}:
            assert str(folder) in each.message or "resnet18" in each.message or "NaN" in each.case.name, each
        if each.case.kind in {"views", "claims"}:
            assert "column" in each.message or "written as text" in each.message, each


def test_every_malformed_option_is_a_usage_error(pytester):
    lines = list(inputs.command_lines())
    assert len(lines) >= 40
    for line in lines:
        result = pytester.runpytest(line)
        assert result.ret == pytest.ExitCode.USAGE_ERROR, line
        told = result.stderr.str()
        assert told.startswith("ERROR: "), line
        assert "Traceback" not in told, line
        flag, _, value = line.partition("=")
        assert flag in told or value in told, line
