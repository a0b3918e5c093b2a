"""Each broken set-up is flagged by the check that should; the sound sample raises none."""

import pytest

from robustcheck.sanity.registry import CHECKS, examine
from tests.sanity import kinds, zoo

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", zoo.ZOO)
def test_set_up_is_flagged_by_the_check_that_should(sample_classifier, sample_images, name):
    (result,) = zoo.examine(name, sample_classifier, sample_images, only=[zoo.ZOO[name].caught_by])
    assert result.state == "failed", result.text
    assert CHECKS[result.name].advice in result.text


def test_there_is_a_broken_set_up_for_nearly_every_check():
    caught = {broken.caught_by for broken in zoo.ZOO.values()}
    caught |= {kind.caught_by for kind in kinds.KINDS.values()}
    # What compares numbers and sizes of steps is tested on records made for it, in test_sanity.py.
    assert set(CHECKS) - caught == {
        "one_step_is_not_stronger_than_many",
        "more_steps_are_not_weaker",
        "adaptive_steps_are_near_their_best",
    }
    assert len(zoo.ZOO) >= 15


def test_sound_sample_raises_no_alarm(sample_classifier, sample_images):
    results = examine(sample_classifier, sample_images, transfer="sample:lite1", count=8)
    assert [result for result in results if result.state in ("failed", "warned")] == []
    assert {result.name for result in results if result.state == "skipped"} <= {
        "attack_moves_away_from_any_class"
    }
