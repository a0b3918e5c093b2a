"""Hundreds of inputs that are wrong: each ends in one of our errors, none in a stack of ours or a wrong number."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from tests.malformed import inputs

pytestmark = pytest.mark.slow


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


def test_every_malformed_option_is_a_usage_error(pytester):
    for line, says in inputs.command_lines():
        result = pytester.runpytest(line)
        assert result.ret == pytest.ExitCode.USAGE_ERROR, line
        told = result.stderr.str()
        assert told.startswith("ERROR: "), line
        assert "Traceback" not in told, line
        for word in says:
            assert word in told, line
