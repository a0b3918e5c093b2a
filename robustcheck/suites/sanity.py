"""Whether an evaluation of this classifier on these images can be trusted: a test for each check.

The checks, and what it means where one fails, are in `robustcheck.sanity`. Attacks that the repository
registered are examined beside fast gradient sign, and examples are planted for the attacks that claims name, or for
`PGD_8`. With `--robustcheck-require-tested-attacks` each run has the tests of planted examples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest

from robustcheck.errors import RobustnessWarning
from robustcheck.notation import STEPS, View
from robustcheck.report.run import Check
from robustcheck.robustness import Robustness
from robustcheck.sanity.planted_examples import is_untested
from robustcheck.sanity.registry import CHECKS, OF_THE_ATTACK, find_check, planted_checks
from robustcheck.sanity.subject import Subject
from robustcheck.session import KEY
from robustcheck.text import printable_lines

COUNT = 64
"""At most so many images are taken."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each check, and for each registered attack of each that is about the attack."""
    session = metafunc.config.stash[KEY]
    cases = _all_cases() if session.settings.suite == "sanity" else []
    views: list[str | View] = [*session.claimed] or ["PGD_8"] * bool(cases)
    cases += [(check.name, "Adv") for check in planted_checks(views)]
    ids = [name if attack == "Adv" else f"{name}-{attack}" for name, attack in cases]
    metafunc.parametrize(("check", "attack"), cases, ids=ids)


def _all_cases() -> list[tuple[str, str]]:
    """Return each check with the attack that it examines."""
    registered = [step.name for step in STEPS.values() if step.kind == "attack" and step.function is not None]
    cases = [(name, "Adv") for name in CHECKS]
    return cases + [(name, attack) for attack in registered for name in OF_THE_ATTACK]


@pytest.fixture(scope="module")
def subject_of(robustness: Robustness, pytestconfig: pytest.Config) -> Callable[[str], Subject]:
    """What is examined, by the attack that is: for each attack one that shares what it computes."""
    settings = pytestconfig.stash[KEY].settings
    subjects: dict[str, Subject] = {}

    def subject(attack: str) -> Subject:
        if attack not in subjects:
            subjects[attack] = Subject(
                robustness.classifier,
                robustness.images,
                attack=attack,
                transfer=settings.transfer,
                count=COUNT,
                seed=settings.seed,
                batch_size=settings.batch_size,
            )
        return subjects[attack]

    return subject


@pytest.mark.filterwarnings(
    "ignore::robustcheck.RobustnessWarning",  # what they say is what is checked here
    "always:.*Not so here:robustcheck.RobustnessWarning",  # a check's own
)
def test_trust_evaluation(
    check: str,
    attack: str,
    subject_of: Callable[[str], Subject],
    pytestconfig: pytest.Config,
    request: pytest.FixtureRequest,
) -> None:
    """A statement that holds of any sound evaluation."""
    found = find_check(check)
    result = found.run(subject_of(attack))
    if pytestconfig.stash[KEY].settings.require_tested_attacks and is_untested(result):
        result = replace(result, state="failed")
    name = check if attack == "Adv" else f"{check} [{attack}]"
    reported = Check(name, result.state, result.text)
    request.node.user_properties.append((reported.PROPERTY, reported.to_json()))
    text = f"{found.statement} Not so here: {result.text}"
    if result.state == "warned":
        warnings.warn(text, RobustnessWarning, stacklevel=1)
    if result.state == "skipped":
        pytest.skip(printable_lines(result.text))
    if not result.passed:
        pytest.fail(printable_lines(text), pytrace=False)
