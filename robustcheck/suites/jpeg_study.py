"""The study of arXiv 1608.00853 on any classifier: its table, its three findings, and whether to trust them.

Tests named `test_trust_...` gate: they fail where the evaluation itself can't be trusted. Tests named
`test_finding_...` report what the paper found, and whether it shows here; one that does not is an expected
failure, or a failure with `--robustcheck-findings=gate`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from robustcheck import jpeg
from robustcheck.claims.record_warnings import chance_warning, too_few_to_tell
from robustcheck.errors import RobustcheckError
from robustcheck.records import Records
from robustcheck.records.measures import default_measure
from robustcheck.report.run import Finding
from robustcheck.robustness import Robustness
from robustcheck.session import KEY
from robustcheck.text import fixed, printable_lines

Report = Callable[[str, bool, str], None]

EPSILONS = (1, 5, 10)
TABLE = ("x", *(f"Adv_{e}" for e in EPSILONS), *(f"JPG(Adv_{e})" for e in EPSILONS), "JPG_noise(Adv_1)")
CONTROLS = tuple(f"Noise_{e}" for e in EPSILONS)
MUCH = 1 / 3
"""The share of the loss that counts as much: in the paper JPEG gives back 0.71 of it at epsilon 1, 0.32 at 5."""
TWICE = 8
"""How many images are evaluated a second time."""


@pytest.fixture(scope="module")
def records(robustness: Robustness) -> Records:
    """The table, all of it in one pass over the images."""
    return robustness.evaluate(*TABLE, *CONTROLS)


@pytest.fixture(scope="module")
def measure(records: Records) -> str:
    """What the paper's top-1 is here: accuracy, or without labels the share of predictions kept."""
    return default_measure(labelled=records.is_labelled)


@pytest.fixture(scope="module")
def given_back(robustness: Robustness, measure: str) -> Callable[[str], float]:
    """The share of what an attack takes that a view of it gives back; skips where it took next to nothing."""

    def share(view: str) -> float:
        try:
            return float(robustness.recovery(view, measure=measure))
        except RobustcheckError as refusal:
            pytest.skip(str(refusal))

    return share


@pytest.fixture(scope="module")
def accuracies(records: Records, measure: str) -> Callable[..., str]:
    """Means of the measure as a finding's numbers."""
    return lambda *views: ", ".join(f"{view} {records.mean(measure, view):.1%}" for view in views)


@pytest.fixture
def finding(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Report:
    """Report a finding, and xfail or fail where it does not hold."""

    def report(text: str, holds: bool, numbers: str) -> None:
        reported = Finding(text, holds, numbers)
        request.node.user_properties.append((reported.PROPERTY, reported.to_json()))
        if not holds:
            reason = f"does not hold here: {text}; {numbers}"
            if pytestconfig.stash[KEY].settings.findings == "gate":
                pytest.fail(printable_lines(reason), pytrace=False)
            pytest.xfail(reason)

    return report


def test_trust_clean_accuracy_is_far_above_chance(robustness: Robustness, records: Records) -> None:
    """A model that guesses can be neither robust nor not."""
    if (records.labels < 0).any():
        pytest.skip("the images have no labels")
    classes = robustness.classifier.probe()
    if too_few_to_tell(len(records), classes):
        pytest.skip(f"{len(records)} images among {classes} classes are too few to tell from chance")
    if warning := chance_warning(records, classes):
        pytest.fail(printable_lines(warning), pytrace=False)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_trust_attack_stays_within_epsilon(records: Records, epsilon: int) -> None:
    """The 8-bit images themselves are no further from the clean ones than was said."""
    assert records.column("linf", f"Adv_{epsilon}").max() <= epsilon


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_trust_attack_beats_random_signs(records: Records, epsilon: int) -> None:
    """An attack that hurts no more than noise of its size has no gradient to go by."""
    attacked, random = (records.mean("p_top", view) for view in (f"Adv_{epsilon}", f"Noise_{epsilon}"))
    assert attacked < random, (
        f"mean p(l_x) is {fixed(attacked, 3)} under Adv_{epsilon} and {fixed(random, 3)} under random signs of that size: "
        "the gradient does not reach the pixels, or is swamped by rounding (saturated or masked logits?)"
    )


def test_trust_jpeg_gives_the_same_twice(robustness: Robustness) -> None:
    """Recompression is a function of the image."""
    batch = next(iter(robustness.images))
    once, again = (jpeg.roundtrip(batch.pixels) for _ in range(2))
    assert (once == again).all()


def test_trust_table_is_the_same_twice(robustness: Robustness, records: Records) -> None:
    """A second evaluation of some of the images gives the same records, to the last digit."""
    again = robustness.evaluate_again(*TABLE, *CONTROLS, count=TWICE)
    seen = again.seen("x")
    differing = [
        f"{column} of {view}"
        for view in TABLE
        for column in ("prediction", "p_top", "l2")
        if not np.array_equal(records.column(column, view)[seen], again.column(column, view)[seen])
    ]
    assert seen.any()
    assert not differing, (
        f"differs on the same images: {', '.join(differing)} (dropout, or another kind of chance?)"
    )


def test_finding_jpeg_gives_back_much_of_a_small_attack(
    given_back: Callable[[str], float], accuracies: Callable[..., str], finding: Report
) -> None:
    """JPEG reverses much of epsilon 1, not all of it."""
    share = given_back("JPG(Adv_1)")
    finding(
        "JPEG gives back much, not all, of what Adv_1 takes",
        MUCH <= share < 1,
        f"{share:.0%} of it, where much is {MUCH:.0%}: {accuracies('x', 'Adv_1', 'JPG(Adv_1)')}",
    )


def test_finding_jpeg_fails_against_large_attacks(
    given_back: Callable[[str], float], accuracies: Callable[..., str], finding: Report
) -> None:
    """JPEG does not reverse epsilon 5 and 10."""
    shares = [given_back(f"JPG(Adv_{e})") for e in (5, 10)]
    finding(
        "JPEG does not give back much of what Adv_5 and Adv_10 take",
        max(shares) < MUCH,
        f"{shares[0]:.0%} and {shares[1]:.0%} of it: "
        f"{accuracies('Adv_5', 'JPG(Adv_5)', 'Adv_10', 'JPG(Adv_10)')}",
    )


def test_finding_permuted_noise_does_not_do_what_jpeg_does(
    given_back: Callable[[str], float], accuracies: Callable[..., str], finding: Report
) -> None:
    """Noise of the size of JPEG's change, without its structure, does not help as JPEG does."""
    jpg, noise = given_back("JPG(Adv_1)"), given_back("JPG_noise(Adv_1)")
    finding(
        "noise of the size of JPEG's change gives back less than half of what JPEG does",
        jpg > 0 and noise < jpg / 2,
        f"noise gives back {noise:.0%}, JPEG {jpg:.0%}: {accuracies('JPG(Adv_1)', 'JPG_noise(Adv_1)')}",
    )
