"""`[draws=K]`: the measures of a view are means over K draws of what is random in it, in [0, 1] for each image."""

import numpy as np
import pytest

import robustcheck
from robustcheck import RobustcheckError, evaluate
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.notation import parse, temporary_steps
from robustcheck.records import csv
from robustcheck.robustness import Robustness
from tests import toys

VIEW = "Noise_40[draws=8](Adv_1)"


@pytest.fixture(scope="module")
def classifier():
    return toys.classifier_of(toys.Linear())


@pytest.fixture(scope="module")
def images(classifier):
    return toys.images_for(classifier, 60, wrong=10)


@pytest.fixture(scope="module")
def records(classifier, images):
    return evaluate(classifier, images, [VIEW, "Noise_40(Adv_1)"], batch_size=16)


def test_measures_are_means_over_draws_that_differ(records):
    for measure in ("correct", "kept", "p_top"):
        values = records.column(measure, VIEW)
        assert ((values >= 0) & (values <= 1)).all()
        assert len(np.unique(values)) > 3
    kept = records.column("kept", VIEW)
    assert np.array_equal(kept * 8, (kept * 8).round())
    assert ((kept > 0) & (kept < 1)).any()


def test_first_draw_is_the_view_without_draws(records):
    assert np.array_equal(records.column("prediction", VIEW), records.column("prediction", "Noise_40(Adv_1)"))
    assert [str(view) for view in records.views] == ["x", VIEW, "Noise_40(Adv_1)"]


def test_mean_is_that_of_the_draws_one_by_one(classifier, images):
    drawn, *others = parse("Noise_40[draws=3](Adv_1)").draws
    found = evaluate(classifier, images, ["Noise_40[draws=3](Adv_1)", drawn, *others])
    singles = [found.column("kept", view) for view in (drawn, *others)]
    assert all(set(np.unique(each)) <= {0, 1} for each in singles)
    assert not np.array_equal(singles[0], singles[1])
    assert np.allclose(found.column("kept", "Noise_40[draws=3](Adv_1)"), np.mean(singles, axis=0))


@pytest.mark.parametrize(
    "view", ["PGD_8[draws=3,steps=2]", "JPG_5..95[draws=3](Adv_8)", "JPG_noise_5[draws=3]"]
)
def test_random_starts_and_other_steps_are_drawn_anew(classifier, images, view):
    first, second, third = (
        evaluate(classifier, images, [one]).column("l2", one) for one in parse(view).draws
    )
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)


def test_batch_size_does_not_matter(classifier, images, records):
    other = evaluate(classifier, images, [VIEW], batch_size=7)
    assert np.array_equal(other.column("kept", VIEW), records.column("kept", VIEW))


def test_defence_with_draws_of_its_own_gets_seeds_for_each(classifier, images):
    with temporary_steps():

        @robustcheck.register_defence("Shift", amount="most")
        def shift(images, *, most: int = 40, seeds=()):
            return (
                (images.int() + np.random.default_rng(seeds[0] % 2**32).integers(-most, most))
                .clamp(0, 255)
                .byte()
            )

        found = evaluate(classifier, images, ["Shift_90[draws=4]"], batch_size=1)
        assert 0 < found.mean("kept", "Shift_90[draws=4]") < 1

        @robustcheck.register_defence("Own")
        def own(images, *, draws: int = 2):  # an option of its own of that name stays its own
            return images // draws

        mean = evaluate(classifier, images, ["Own[draws=4]"]).column("kept", "Own[draws=4]")
        assert set(np.unique(mean)) <= {0, 1}


def test_claims_are_decided_by_what_holds_for_means(classifier, images):
    robustness = Robustness(Evaluation(classifier, images, RunConfig(0, 16)))
    shares = robustness[VIEW].kept
    assert 0 < float(shares) < 1
    assert "about" in repr(shares)  # a t interval, not Clopper-Pearson's exact one
    assert not shares.interval.exact
    assert robustness["Noise_40(Adv_1)"].kept.interval.exact
    float(robustness["Noise_40(Adv_1)"].kept)
    assert float(shares) == pytest.approx(robustness.records.mean("kept", VIEW))
    assert robustness.check(f"kept({VIEW}) >= 10%")
    assert robustness[VIEW].kept - robustness["Noise_40(Adv_1)"].kept >= -0.5


def test_files_hold_them(records):
    again, _ = csv.loads(csv.dumps(records))
    assert np.array_equal(again.column("kept", VIEW), records.column("kept", VIEW))


def test_adaptive_counterpart_goes_through_the_defence_without_draws():
    view = parse("Noise_2[draws=8](PGD_8)")
    assert view.blind_to == ("Noise_2",)
    counterpart = view.adaptive_counterpart
    assert str(counterpart) == "Noise_2[draws=8](PGD_8[eot=8,through=Noise_2])"
    assert counterpart.blind_to == ()


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (
            "JPG(Noise_2[draws=8])",
            r"draws is an option of a view's last step.*write JPG\[draws=8\]\(Noise_2\)",
        ),
        ("Worst(Noise_2[draws=8]; Adv_1)", "draws is an option of a view's last step"),
        ("Adv_1[through=Noise_2[draws=8]]", "through takes a defence without draws"),
        ("Noise_2[draws=0]", "draws must be an integer from 1 to 1000, got 0"),
        ("Noise_2[draw=2]", "did you mean draws"),
    ],
)
def test_what_can_not_be_meant_is_refused(view, words):
    with pytest.raises(RobustcheckError, match=words):
        parse(view)


def test_one_draw_is_the_view_itself():
    assert parse("Noise_2[draws=1]") == parse("Noise_2")
    assert parse("Noise_2").draws == ()
