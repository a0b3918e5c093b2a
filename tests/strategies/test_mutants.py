"""Each mutant is found in at least 17 of 20 runs of 100 examples; `tests/strategies/score.py` prints a report."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import rgb_to_grayscale

from robustcheck.strategies import images
from tests.strategies import mutants, score

SEEDS, LEAST = 20, 17
GROUPS = dict(zip(("images", "perturbations", "views"), score.ours(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_mutants_are_found(group):
    all_mutants, strategies = GROUPS[group]
    assert len(all_mutants) >= 20
    assert len({mutant.name for mutant in all_mutants}) == len(all_mutants)
    found = score.scores([(all_mutants, strategies)], SEEDS)
    assert {name: count for name, count in found.items() if count < LEAST} == {}


@pytest.mark.parametrize("group", GROUPS)
def test_mutants_are_found_in_the_first_two_runs(group):
    """The quick form of the above: in one of two."""
    all_mutants, strategies = GROUPS[group]
    found = score.scores([(all_mutants, strategies)], 2)
    assert [name for name, count in found.items() if not count] == []


def test_code_without_a_fault_is_not_found():
    for all_mutants, strategies in GROUPS.values():
        right = [mutants.Mutant(each.name, each.right, each.right, each.drawn) for each in all_mutants]
        assert score.scores([(right, strategies)], 1).total() == 0


def test_the_correct_code_is_correct():
    """Beside torch's and torchvision's."""
    batch = score.EVERY.view(1, 3, 6, 6)
    assert mutants.halve(batch).equal(F.avg_pool2d(batch.double(), 2).round().long())
    grey = rgb_to_grayscale(batch.double())[:, 0]
    assert torch.allclose(mutants.brightness(batch).double(), grey, atol=0.1)
    assert (mutants.recoloured(batch) - batch.long()).abs().max() <= 1
    assert (mutants.jpeg(torch.full_like(batch, 77)) - 77).abs().max() <= 1


def test_pictures_of_the_classic_faults_in_one_run():
    """What a repository's own property test does by default: 100 pictures of 32 x 32."""
    plain = [mutant for mutant in mutants.MUTANTS if mutant.drawn == "square"]
    runs = [score.finds(plain, score.st.tuples(images()), number) for number in range(3)]
    missed = {mutant.name for mutant in plain} - set.union(*runs)
    assert missed == set()
