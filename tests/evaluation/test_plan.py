import pytest

from robustcheck.evaluation.plan import CLEAN_GRADIENT, GradientOf, make_plan
from robustcheck.notation import parse


def plan_of(*views):
    return make_plan([parse(view) for view in views])


def test_equal_subtrees_are_made_once_and_before_they_are_needed():
    plan = plan_of("x", "JPG_noise(Adv_1)", "JPG(Adv_1)", "Adv_1", "JPG(Adv_5)")
    steps = [step for group in plan.steps for step in group]
    assert sorted(map(str, steps)) == sorted(
        {"Adv_1", "JPG(Adv_1)", "JPG_noise(Adv_1)", "Adv_5", "JPG(Adv_5)"}
    )
    for step in steps:
        for source in step.declared.needs(step):
            assert source == parse("x") or steps.index(source) < steps.index(step)


@pytest.mark.parametrize(
    ("views", "together"),
    [
        (["PGD_1", "PGD_8"], ["PGD_1 PGD_8"]),
        (["PGD_1", "PGD_8[label=true,step=3]"], ["PGD_1 PGD_8[label=true,step=3]"]),
        (["PGD_1", "PGD_8[restarts=2]"], ["PGD_1", "PGD_8[restarts=2]"]),
        (["PGD_1", "PGD_1[steps=5]"], ["PGD_1", "PGD_1[steps=5]"]),
        (["PGD_1", "PGD_1[through=JPG]"], ["PGD_1", "PGD_1[through=JPG]"]),
        (["PGD_1", "PGD_1[target=least]"], ["PGD_1", "PGD_1[target=least]"]),
        (["PGD_8", "PGD_1(JPG(PGD_8))"], ["PGD_8", "JPG(PGD_8)", "PGD_1(JPG(PGD_8))"]),
        (["PGD_8", "PGD_1(JPG)", "PGD_2"], ["PGD_8 PGD_2", "JPG", "PGD_1(JPG)"]),
        (["Adv_1", "Adv_5"], ["Adv_1", "Adv_5"]),
    ],
)
def test_attacks_that_climb_by_one_rule_climb_together_once_their_sources_are_there(views, together):
    groups = plan_of("x", *views).steps
    assert [" ".join(map(str, group)) for group in groups] == together


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
        (["PGD_1[start=zero,loss=log_odds]"], True),
        (["PGD_1[start=zero]"], False),  # of another loss than Adv
        (["PGD_1"], False),
        (["PGD_1[start=zero,momentum=0.9]"], False),
        (["Adv_1[norm=2]"], False),
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
