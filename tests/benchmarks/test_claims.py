"""What deciding costs beside evaluating: the bookkeeping of one claim for one batch of 64 images, and of all."""

import copy

import numpy as np
import pytest

from robustcheck.claims import parse_claim
from robustcheck.claims.assisted_bets import AssistedGame, OldValues
from robustcheck.claims.bets import Game, Wealth
from robustcheck.claims.decisions import decide_early, decide_exact
from robustcheck.claims.sequential import MeanTest
from robustcheck.claims.test_spec import TestSpec

BATCH = np.random.default_rng(0).integers(0, 2, 64).astype(float)


@pytest.mark.parametrize("tolerance", [0.0, 0.02])
@pytest.mark.parametrize("seen", [0, 40_000])
def test_one_batch_of_one_claim(robustcheck_benchmark, seen, tolerance):
    test = MeanTest(TestSpec(0.5, 0, 1, 50_000, tolerance=tolerance, alpha=1e-12, alpha_refute=1e-12))
    test.update(np.arange(seen) % 2)
    robustcheck_benchmark.note("with a copy of the test's state, which an update changes")
    robustcheck_benchmark(lambda: copy.deepcopy(test).update(BATCH), images=64)


@pytest.mark.parametrize("assisted", [False, True], ids=["plain", "assisted"])
def test_bets_of_one_batch(robustcheck_benchmark, assisted):
    """With old values, bets on the values and on what they differ by: at most 2.5 times the time of the plain ones."""
    plain = Game(0.5, 50_000)
    old = OldValues(np.random.default_rng(1).integers(0, 2, 50_000).astype(float))
    game, start = (AssistedGame(plain, old), AssistedGame.start()) if assisted else (plain, Wealth.start())
    robustcheck_benchmark(game.after, start, BATCH, 0, 0.0, up=True, down=True, images=64)


def test_one_recovery_from_the_first_image_to_the_verdict(robustcheck_benchmark):
    claim = parse_claim("recovery(JPG(Adv_1)) >= 50%")
    share = {"x": 0.76, "Adv_1": 0.25, "JPG(Adv_1)": 0.55}
    position = np.random.default_rng(0).permutation((np.arange(50_000) + 0.5) / 50_000)
    table = np.column_stack([position < share[str(view)] for _, view in claim.terms]).astype(float)
    batches = [table[start : start + 64] for start in range(0, 50_000, 64)]
    robustcheck_benchmark(decide_early, claim, batches, 50_000)


def test_fifty_thousand_images_exactly(robustcheck_benchmark):
    claim = parse_claim("accuracy(JPG(Adv_1)) >= 0.8 * accuracy(x)")
    table = np.random.default_rng(0).integers(0, 2, (50_000, 2)).astype(float)
    robustcheck_benchmark(decide_exact, claim, table, images=50_000)
