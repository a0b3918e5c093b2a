"""Whether the run's own claims notice a fault: a test for each mutation of its model, images, attacks and transforms.

The mutations are in `robustcheck.mutation`. A test passes where the claims turn red, is an expected failure where they
all hold, and is skipped where nothing can be said.
"""

from __future__ import annotations

import pytest

from robustcheck.mutation.mutation import Mutation
from robustcheck.mutation.registry import MUTATIONS
from robustcheck.session.mutants import Mutants
from robustcheck.text import printable, printable_lines


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_gate_turns_red(
    mutation: Mutation, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> None:
    """A gate that stays green under a fault says nothing about it."""
    mutants = pytestconfig.pluginmanager.getplugin("robustcheck.Mutants")
    assert isinstance(mutants, Mutants)
    result = mutants.results[mutation.name]
    request.node.user_properties.append((result.PROPERTY, result.to_json()))
    if result.outcome == "survived":
        pytest.xfail(printable(f"survived: {result.what}; a gate that notices: {result.advice}"))
    if result.outcome != "caught":
        pytest.skip(printable_lines(f"{result.outcome}: {result.reason}"))
