"""Whether an evaluation of this classifier on these images can be trusted: a test for each check.

The checks, and what it means where one fails, are in `robustcheck.sanity`. Attacks that the repository
registered are examined beside fast gradient sign.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest

from robustcheck.errors import RobustnessWarning
from robustcheck.notation import STEPS
from robustcheck.report.run import Check
from robustcheck.robustness import Robustness
from robustcheck.sanity.registry import CHECKS, OF_THE_ATTACK
from robustcheck.sanity.subject import Subject
from robustcheck.session import KEY
from robustcheck.text import printable_lines

COUNT = 64
"""At most so many images are taken."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each check, and for each registered attack of each that is about the attack."""
    registered = [step.name for step in STEPS.values() if step.kind == "attack" and step.function is not None]
    cases = [(name, "Adv") for name in CHECKS]
    cases += [(name, attack) for attack in registered for name in OF_THE_ATTACK]
    ids = [name if attack == "Adv" else f"{name}-{attack}" for name, attack in cases]
    metafunc.parametrize(("check", "attack"), cases, ids=ids)


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
    record_property: Callable[[str, object], None],
) -> None:
    """A statement that holds of any sound evaluation."""
    result = CHECKS[check].run(subject_of(attack))
    name = check if attack == "Adv" else f"{check} [{attack}]"
    record_property(Check.PROPERTY, Check(name, result.state, result.text).to_json())
    text = f"{CHECKS[check].statement} Not so here: {result.text}"
    if result.state == "warned":
        warnings.warn(text, RobustnessWarning, stacklevel=1)
    if result.state == "skipped":
        pytest.skip(printable_lines(result.text))
    if not result.passed:
        pytest.fail(printable_lines(text), pytrace=False)
