"""What the checks do beside the zoo: order of attacks, warnings of every run, names, and what is skipped."""

import warnings

import numpy as np
import pytest
import torch

from robustcheck import ImageSet, RobustcheckError, RobustnessWarning, evaluate
from robustcheck.claims.record_warnings import stronger_than_it_should_be, warnings_of
from robustcheck.notation import parse
from robustcheck.records import Records, empty_rows
from robustcheck.sanity.registry import CHECKS, examine
from robustcheck.sanity.subject import Subject
from tests import toys


def records_of(**p_top):
    """Records of forty images with some p_top per view."""
    columns = {}
    for text, values in ({"x": 0.9} | p_top).items():
        own = empty_rows(40)
        own["p_top"] = np.broadcast_to(np.asarray(values, dtype=float), 40).copy()
        own["prediction"] = np.zeros(40, dtype=np.int64)
        own["correct"] = np.ones(40)
        own["kept"] = np.ones(40)
        own["linf"] = np.full(40, parse(text).number if text != "x" else 0.0)
        own["l2"] = np.zeros(40)
        columns[parse(text)] = own
    names = tuple(f"{index}.png" for index in range(40))
    return Records(names, names, np.zeros(40, dtype=np.int64), columns)


@pytest.mark.parametrize(
    ("weaker", "stronger", "words"),
    [
        ("Noise_1", "Adv_1", "Random signs"),
        ("Noise_8", "PGD_8", "Random signs"),
        ("JPG(Adv_1)", "JPG(Adv_1[through=JPG])", "goes through the defence should do more"),
        ("Adv_8", "PGD_8[steps=5]", "Many small steps should do more than one"),
        ("Adv_8[label=true]", "PGD_8[label=true]", "Many small steps"),
        ("Adv_8[from=resnet50]", "Adv_8", "made on the model itself should do more"),
        ("PGD_1", "PGD_8", "A larger epsilon should do more"),
    ],
)
def test_records_in_the_wrong_order_are_told(weaker, stronger, words):
    wrong = warnings_of(records_of(**{weaker: 0.2, stronger: 0.5}), 1000)
    assert len(wrong) == 1
    assert words in wrong[0]
    assert f"0.200 under {weaker} and 0.500 under {stronger}" in " ".join(wrong[0].split())
    assert warnings_of(records_of(**{weaker: 0.5, stronger: 0.2}), 1000) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Adv_1", "Adv_8"),  # one large step may overshoot
        ("Adv_8", "PGD_8[label=true]"),
        ("Noise_1", "Adv_8"),
        ("Noise_1", "Adv_1[target=3]"),
        ("PGD_8[steps=5]", "PGD_8[steps=50]"),  # the sanity suite asks
        ("JPG(Adv_1)", "JPG(Adv_8[through=JPG])"),
    ],
)
def test_what_need_not_be_in_order_is_not_told(one, other):
    assert warnings_of(records_of(**{one: 0.2, other: 0.5}), 1000) == []


def test_a_difference_that_chance_makes_is_not_told():
    few = np.full(40, 0.5)
    few[:5] = 0.1
    assert (
        stronger_than_it_should_be(records_of(Adv_1=few, PGD_1=0.5), parse("Adv_1"), parse("PGD_1")) is None
    )
    slight = records_of(Adv_1=0.499, PGD_1=0.5)
    assert stronger_than_it_should_be(slight, parse("Adv_1"), parse("PGD_1")) is None


def test_image_outside_its_ball_is_told():
    records = records_of(Adv_1=0.5)
    records.columns[parse("Adv_1")]["linf"][3] = 2
    (warning,) = warnings_of(records, 1000)
    assert "Adv_1 moved an image by 2 levels (L-inf)" in warning


class Odd(toys.Linear):
    """The linear toy with something done to its logits."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def forward(self, images):
        return self.after(super().forward(images))


def toy(after):
    return toys.classifier_of(Odd(after), name="odd")


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (lambda logits: logits.softmax(dim=1), "odd: it returns probabilities, not logits"),
        (
            lambda logits: logits + torch.rand_like(logits),
            "odd: an image classified a second time, alone, gave",
        ),
        (lambda logits: logits - logits.mean(dim=0), "odd: an image classified a second time, alone, gave"),
        (lambda logits: logits.round(), "odd: 100% of the gradient of an image is exactly zero"),
    ],
)
def test_every_evaluation_warns_of_what_its_first_batch_shows(toy_images, after, message):
    unlabelled = ImageSet.from_arrays(next(toy_images.batches(13)).pixels)  # nothing else to warn of
    with pytest.warns(RobustnessWarning, match=message) as caught:
        evaluate(toy(after), unlabelled, ["Adv_1"], batch_size=4)
    assert sum(message in str(warning.message) for warning in caught) == 1  # once, not every batch


def test_every_evaluation_warns_of_what_its_records_show(toy_images):
    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits):
            return logits.clone()

        @staticmethod
        def backward(ctx, grad):
            return -grad

    with pytest.warns(RobustnessWarning, match="Random signs of the same size should do less"):
        evaluate(toy(Backwards.apply), toy_images, ["Adv_3", "Noise_3"])


def test_a_sound_evaluation_warns_of_nothing(toy_classifier, toy_images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(
            toy_classifier, toy_images, ["Adv_3", "Noise_3", "PGD_3", "JPG(Adv_3)", "JPG(Adv_3[through=JPG])"]
        )


def test_one_step_that_beats_many_is_flagged(monkeypatch, toy_classifier, toy_images):
    subject = Subject(toy_classifier, toy_images)
    evaluated = records_of(Adv_1=0.2, **{"PGD_1[steps=10]": 0.5, "PGD_1[steps=2]": 0.3})
    monkeypatch.setattr(subject, "records", lambda *_: evaluated)
    one, more = (
        CHECKS[name].run(subject)
        for name in ("one_step_is_not_stronger_than_many", "more_steps_are_not_weaker")
    )
    assert one.state == more.state == "failed"
    assert "0.200 under Adv_1 and 0.500 under PGD_1[steps=10]" in one.text
    assert "step size does not shrink" in more.text


@pytest.mark.parametrize(("other", "state"), [(0.2, "failed"), (0.28, "passed")])
def test_adaptive_attack_whose_defaults_are_much_weaker_is_flagged(
    monkeypatch, toy_classifier, toy_images, other, state
):
    subject = Subject(toy_classifier, toy_images)
    views = [
        f"JPG(PGD_1[through=JPG,steps={steps}])" for steps in ("10", "5", "10,step=0.125", "10,step=0.5")
    ]
    evaluated = records_of(**dict.fromkeys(views, 0.3) | {views[3]: other})
    monkeypatch.setattr(subject.evaluation, "run", lambda *_, **__: None)
    monkeypatch.setattr(type(subject.evaluation), "records", evaluated)
    found = CHECKS["adaptive_steps_are_near_their_best"].run(subject)
    assert found.state == state
    assert f"{other:.3f} under JPG(PGD_1[step=0.5,steps=10,through=JPG])" in found.text


def test_model_that_can_t_be_evaluated_fails_the_checks_and_not_the_run(toy_images):
    results = {result.name: result for result in examine(toy(lambda logits: logits / 0), toy_images)}
    assert results["logits_are_finite"].state == "failed"
    assert results["harm_grows_with_epsilon"].state == "failed"
    assert "not finite" in results["harm_grows_with_epsilon"].text
    assert results["codec_keeps_its_contract"].state == "passed"


def test_names_that_there_are_none_of(toy_classifier, toy_images):
    with pytest.raises(
        RobustcheckError, match="unknown check 'logits_are_finit': did you mean 'logits_are_finite'"
    ):
        examine(toy_classifier, toy_images, only=["logits_are_finit"])
    with pytest.raises(RobustcheckError, match="unknown step 'Advv'"):
        examine(toy_classifier, toy_images, attack="Advv")


def test_what_can_t_be_checked_is_skipped_with_a_word(toy_classifier, toy_images):
    unlabelled = ImageSet.from_arrays(next(toy_images.batches(13)).pixels)
    results = {result.name: result for result in examine(toy_classifier, unlabelled)}
    assert results["no_other_preprocessing_fits_better"].text == "the images have no labels"
    assert results["transfer_is_not_stronger_than_white_box"].state == "skipped"
    assert "--robustcheck-transfer" in results["transfer_is_not_stronger_than_white_box"].text
    assert all(result.passed for result in results.values()), results


def test_every_check_says_what_holds_and_what_to_look_at():
    for check in CHECKS.values():
        assert check.statement.endswith("."), check.name
        assert len(check.advice) > 60, check.name


def test_one_image_fails_only_for_being_one(toy_classifier, toy_images):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = examine(toy_classifier, toy_images.subset([5]))
    assert [result.name for result in results if result.state == "failed"] == [
        "images_are_enough_to_show_anything"
    ]


class Reads(torch.nn.Module):
    """Says what the first pixel does: 0, 1, 2 or 3."""

    def forward(self, images):
        first = ((images[:, 0, 0, 0] + 1) / 2 * 255).round()
        return -(first[:, None] - torch.arange(4)).abs() * 9 + images.mean((1, 2, 3))[:, None]


@pytest.mark.parametrize(
    ("called", "state"),
    [
        ({0: [1] * 5, 1: [0] * 5}, "failed"),
        ({0: [1] * 22 + [0], 1: [0] * 23}, "failed"),  # 45 of 46
        ({0: [1] * 8, 1: [2] * 8, 2: [0] * 8}, "failed"),  # in a circle
        ({0: [1] * 4, 1: [0] * 4}, "passed"),  # too few of each
        ({0: [1] * 7 + [0] * 3, 1: [0] * 7 + [1] * 3}, "passed"),  # a bad model
        ({0: [1] * 9, 1: [1] * 9}, "passed"),  # a class that is never seen
        ({0: [1] * 9, 1: [2] * 9, 2: [2] * 9}, "passed"),
    ],
)
def test_classes_that_are_called_each_other_are_told(called, state):
    labels, answers = zip(
        *((label, answer) for label, given in called.items() for answer in given), strict=True
    )
    pixels = toys.random_pixels(len(labels))
    pixels[:, 0, 0, 0] = answers
    images = ImageSet.from_arrays(pixels, np.array(labels))
    net = Reads()
    net.weight = torch.nn.Parameter(torch.zeros(1))
    (result,) = examine(toys.classifier_of(net), images, only=["no_classes_are_exchanged"])
    assert result.state == state, result.text
