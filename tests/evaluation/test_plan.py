import pytest

from robustcheck.evaluation.plan import CLEAN_GRADIENT, GradientOf, make_plan
from robustcheck.evaluation.steps import IMPLEMENTATIONS
from robustcheck.notation import STEPS, parse


def plan_of(*views):
    return make_plan([parse(view) for view in views])


def test_equal_subtrees_are_made_once_and_before_they_are_needed():
    plan = plan_of("x", "JPG_noise(Adv_1)", "JPG(Adv_1)", "Adv_1", "JPG(Adv_5)")
    steps = [str(step) for step in plan.steps]
    assert sorted(steps) == sorted({"Adv_1", "JPG(Adv_1)", "JPG_noise(Adv_1)", "Adv_5", "JPG(Adv_5)"})
    for step in plan.steps:
        for source in STEPS[step.step].needs(step):
            assert source == parse("x") or plan.steps.index(source) < plan.steps.index(step)


def test_clean_images_come_first_and_the_rest_in_the_order_asked():
    assert list(map(str, plan_of("Adv_5", "x", "Adv_1").views)) == ["x", "Adv_5", "Adv_1"]


@pytest.mark.parametrize(
    ("views", "needed"),
    [
        (["x"], False),
        (["x", "JPG", "Noise_1"], False),
        (["Adv_1"], True),
        (["JPG(Adv_1)"], True),
        (["Adv_1[label=true]"], False),
        (["Adv_1[through=JPG]"], False),
        (["Adv_1(JPG)"], False),
    ],
)
def test_clean_gradient_is_planned_only_where_a_step_uses_it(views, needed):
    assert plan_of("x", *views).clean_gradient is needed


def test_attacks_that_agree_share_a_gradient():
    assert (
        GradientOf.used_by(parse("Adv_1")) == GradientOf.used_by(parse("Adv_10[label=top]")) == CLEAN_GRADIENT
    )
    others = {
        GradientOf.used_by(parse(v)) for v in ("Adv_1[label=true]", "Adv_1(JPG)", "Adv_1[through=JPG_50]")
    }
    assert len(others | {CLEAN_GRADIENT}) == 4


def test_every_step_of_the_notation_is_implemented():
    assert set(IMPLEMENTATIONS) == set(STEPS)
