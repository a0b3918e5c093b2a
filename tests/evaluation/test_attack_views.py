"""Attacks as views: what a batch computes, once, and what it says of images."""

import numpy as np
import pytest
import torch

from robustcheck import Classifier, ImageSet, RobustcheckError, evaluate
from robustcheck.attacks import fgs, pgd
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.evaluation.batch_state import BatchState, CleanBatch
from robustcheck.evaluation.prepared_model import PreparedModel
from robustcheck.models import registry as loading
from robustcheck.notation import parse
from tests.toys import Linear, classifier_of, pixels_of, random_pixels

AGAIN = 3
"""One image of the first batch is classified a second time, alone, to see whether that makes a difference; two images of noise try the
input's layout."""


@pytest.fixture
def calls(monkeypatch, toy_classifier):
    """Images that went forward with a gradient, and without."""
    counts = {"gradient": 0, "forward": 0}

    def forward(module, args, output):
        counts["gradient" if output.requires_grad else "forward"] += len(output)

    handle = toy_classifier.module.register_forward_hook(forward)
    yield counts
    handle.remove()


def test_pgd_costs_one_gradient_a_step(toy_classifier, toy_images, calls):
    evaluate(toy_classifier, toy_images, ["PGD_8[steps=7]"])
    # One pass of the clean images, one of the result, and one that the last step is compared by.
    assert calls == {"gradient": 7 * 13, "forward": 3 * 13 + AGAIN}


def test_restarts_cost_one_more_pass_each_to_choose_by(toy_classifier, toy_images, calls):
    evaluate(toy_classifier, toy_images, ["PGD_8[steps=4,restarts=3]"])
    assert calls == {"gradient": 4 * 3 * 13, "forward": (1 + 3 + 1) * 13 + AGAIN}


def test_pgd_from_the_image_itself_shares_its_first_gradient_with_fgs(toy_classifier, toy_images, calls):
    evaluate(toy_classifier, toy_images, ["Adv_1", "Adv_5", "PGD_8[steps=4,start=zero,loss=log_odds]"])
    assert calls["gradient"] == (1 + 3) * 13


def test_an_attack_and_its_adaptive_counterpart_share_the_clean_pass(toy_classifier, toy_images, calls):
    evaluate(toy_classifier, toy_images, ["JPG(Adv_1)", "JPG(Adv_1[through=JPG])"])
    assert calls == {
        "gradient": 2 * 13,
        "forward": 2 * 13 + AGAIN,
    }  # the clean logits fall out of the blind gradient


def test_views_that_climb_together_are_what_they_are_alone(toy_classifier, toy_images):
    views = [
        "PGD_2[steps=3]",
        "PGD_9[steps=3,restarts=2]",
        "PGD_5[steps=3,start=zero]",
        "PGD_4[steps=3](JPG)",
    ]
    together = evaluate(toy_classifier, toy_images, views, batch_size=5)
    for view in views:
        alone = evaluate(toy_classifier, toy_images, [view], batch_size=13)
        for column in ("linf", "l2", "prediction"):
            np.testing.assert_array_equal(together.column(column, view), alone.column(column, view))


@pytest.mark.parametrize(
    "options", [{"start": "zero", "step": 2}, {"seed": 3}, {"restarts": 2, "momentum": 0.5, "seed": 1}]
)
def test_pgd_view_is_the_function_of_that_name(toy_classifier, toy_images, options):
    clean = pixels_of(toy_images)
    found = pgd(toy_classifier, clean, epsilon=6, steps=5, **options)
    change = (found.double() - clean.double()).flatten(1)
    seed = options.pop("seed", 0)
    view = f"PGD_6[{','.join(f'{name}={value}' for name, value in {'steps': 5, **options}.items())}]"
    records = evaluate(toy_classifier, toy_images, [view], seed=seed)
    np.testing.assert_allclose(records.column("l2", view), change.norm(dim=1))


@pytest.mark.parametrize(
    "view", ["Noise_5", "PGD_8[steps=2]", "JPG_noise", "PGD_300[norm=2,steps=2]", "JPG_50..90"]
)
def test_what_is_drawn_does_not_depend_on_the_batch(toy_classifier, toy_images, view):
    runs = [evaluate(toy_classifier, toy_images, [view], batch_size=size) for size in (1, 5, 13)]
    for column in ("linf", "l2", "prediction"):
        for run in runs[1:]:
            np.testing.assert_array_equal(run.column(column, view), runs[0].column(column, view))


def test_restarts_are_not_the_weaker(toy_classifier, toy_images):
    one, four = "PGD_20[steps=1,step=1]", "PGD_20[steps=1,step=1,restarts=4]"
    records = evaluate(toy_classifier, toy_images, [one, four])
    assert records.mean("p_top", four) < records.mean("p_top", one)


def test_seeds_decide_a_random_start_and_nothing_else(toy_classifier, toy_images):
    view = "PGD_9[steps=1,step=1]"
    runs = [evaluate(toy_classifier, toy_images, [view], seed=seed).column("l2", view) for seed in (0, 0, 1)]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_worst_takes_of_each_image_the_view_that_hurts_most(toy_classifier, toy_images):
    parts = ["Noise_40", "Adv_9", "JPG_5"]
    worst = "Worst(Noise_40; Adv_9; JPG_5)"
    records = evaluate(toy_classifier, toy_images, [worst, *parts])
    kept = np.stack([records.column("correct", part) for part in parts])
    np.testing.assert_array_equal(records.column("correct", worst), kept.min(axis=0))
    # What it shows of each image is what one of the views shows.
    for column in ("p_top", "l2", "prediction"):
        shown = np.stack([records.column(column, part) for part in parts])
        assert (shown == records.column(column, worst)).any(axis=0).all()


def test_an_image_that_is_lost_is_worse_than_one_that_is_less_probable(toy_classifier):
    clean = torch.zeros((1, 3, 16, 16), dtype=torch.uint8)
    run = BatchState(
        PreparedModel.plain(toy_classifier),
        CleanBatch(clean, ("a",), torch.tensor([0]), torch.tensor([0])),
        seed=0,
        codec="auto",
        batch_size=8,
        other_model=lambda _: toy_classifier,
    )
    lost, kept = parse("Adv_1"), parse("Adv_5")
    run.images |= {lost: clean + 1, kept: clean + 5}
    run.logits |= {
        lost: torch.tensor([[0.40, 0.45, 0.10, 0.05]]).log(),  # p(label) is the larger, and the label gone
        kept: torch.tensor([[0.30, 0.25, 0.25, 0.20]]).log(),
    }
    worst = parse("Worst(Adv_1; Adv_5)")
    run.make((worst,))
    assert torch.equal(run.images[worst], run.images[lost])
    assert torch.equal(run.logits[worst], run.logits[lost])


def test_worst_of_images_without_labels_is_against_the_top_label(toy_classifier, toy_images):
    unlabelled = ImageSet.from_arrays(pixels_of(toy_images))
    records = evaluate(toy_classifier, unlabelled, ["Worst(Noise_40; Adv_9)", "Noise_40", "Adv_9"])
    kept = np.minimum(records.column("kept", "Noise_40"), records.column("kept", "Adv_9"))
    np.testing.assert_array_equal(records.column("kept", "Worst(Noise_40; Adv_9)"), kept)


def test_target_is_come_to(toy_classifier, toy_images):
    records = evaluate(toy_classifier, toy_images, ["PGD_60[target=2]", "PGD_60[target=least]"])
    assert (records.column("prediction", "PGD_60[target=2]") == 2).all()
    least = toy_classifier(pixels_of(toy_images)).argmin(1).numpy()
    np.testing.assert_array_equal(records.column("prediction", "PGD_60[target=least]"), least)


def test_random_quality_is_each_image_s_own_and_within_the_range(toy_classifier, toy_images):
    qualities = [f"JPG_{quality}" for quality in range(20, 31)]
    records = evaluate(toy_classifier, toy_images, ["JPG_20..30", *qualities])
    sizes = records.column("l2", "JPG_20..30")
    by_quality = np.stack([records.column("l2", view) for view in qualities])
    found = (by_quality == sizes).argmax(axis=0)
    assert (by_quality == sizes).any(axis=0).all()
    assert len(set(found)) > 2


@pytest.mark.slow
@pytest.mark.parametrize("through", ["JPG_5..30", "Noise_60", "JPG_5+Noise_30"])
def test_averaging_over_what_is_random_finds_the_common_direction(toy_classifier, toy_images, through):
    once, often = (f"Adv_9[through={through},eot={k}]" for k in (1, 16))
    records = evaluate(toy_classifier, toy_images, [once, often, "Adv_9"])
    assert records.mean("p_top", often) <= records.mean("p_top", once) + 1e-3
    again = evaluate(toy_classifier, toy_images, [often], batch_size=3)
    np.testing.assert_array_equal(again.column("l2", often), records.column("l2", often))


def test_l2_attack_stays_in_its_ball_and_beats_noise_of_its_size(toy_classifier, toy_images):
    records = evaluate(toy_classifier, toy_images, ["Adv_90[norm=2]", "PGD_90[norm=2,steps=5]", "Noise_3"])
    for view in ("Adv_90[norm=2]", "PGD_90[norm=2,steps=5]"):
        assert records.column("l2", view).max() <= 90
        assert records.column("l2", view).min() > 80
        assert records.mean("p_top", view) < records.mean("p_top", "Noise_3")


class Flat(torch.nn.Module):
    """Another network for the same classes, at another size."""

    def __init__(self, classes=4):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = torch.nn.Parameter(torch.randn(classes, 3 * 20 * 20, generator=generator))

    def forward(self, batch):
        return batch.flatten(1) @ self.weight.T / 35


def another(classes=4):
    return Classifier(
        Flat(classes), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=20, device="cpu", name="other"
    )


TRANSFER = {"mine": "my.module:net", "seven": "my.module:seven"}


@pytest.fixture
def other_model(monkeypatch):
    loaded = []

    def load(spec, **_):
        loaded.append(spec)
        return another(4 if spec == "my.module:net" else 7)

    monkeypatch.setattr("robustcheck.evaluation.runner.load_model", load)
    return loaded


def test_attack_made_on_another_model_is_weaker_than_on_the_examined_one(
    toy_classifier, toy_images, other_model
):
    views = ["Adv_9[from=mine]", "PGD_9[from=mine,steps=3]", "Adv_9"]
    records = evaluate(toy_classifier, toy_images, views, batch_size=4, transfer=TRANSFER)
    assert other_model == ["my.module:net"]  # once, for all batches and views
    assert records.mean("p_top", "Adv_9") < records.mean("p_top", "Adv_9[from=mine]")
    assert records.column("linf", "Adv_9[from=mine]").max() == 9


@pytest.fixture
def two_models(monkeypatch):
    models = {"a": another(), "b": classifier_of(Linear(seed=9), name="b"), "seven": another(7)}
    monkeypatch.setattr("robustcheck.evaluation.runner.load_model", lambda spec, **_: models[spec])
    return models


def test_transfer_from_several_models_follows_the_mean_of_their_logits(
    toy_classifier, toy_images, two_models
):
    transfer = {name: name for name in two_models}
    views = ["Adv_9[from=a]", "Adv_9[from=b]", "Adv_9[from=a+b]", "PGD_9[from=b+a,steps=3]"]
    records = evaluate(toy_classifier, toy_images, views, transfer=transfer)
    assert [str(view) for view in records.views[1:]] == [*views[:3], "PGD_9[from=a+b,steps=3]"]
    evaluation = Evaluation(toy_classifier, toy_images, RunConfig(transfer=transfer))
    batch = next(toy_images.batches(13))
    images = evaluation.images_of(parse("Adv_9[from=a+b]"), batch)
    pixels = batch.pixels.float().requires_grad_()
    resized = torch.nn.functional.interpolate(pixels, (20, 20), mode="bilinear", antialias=True).clamp(0, 255)
    mean = (two_models["a"].logits(resized) + two_models["b"].logits(pixels)) / 2
    labels = toy_classifier(batch.pixels).argmax(1)
    loss = torch.nn.functional.cross_entropy(mean, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, pixels)
    expected = (pixels + 9 * gradient.sign()).clamp(0, 255).round().to(torch.uint8)
    assert (images == expected).double().mean() > 0.999


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ("Adv_1[from=a+a]", "from must name each model once, got 'a.a'"),
        ("Adv_1[from=a+]", "from must be a torchvision name"),
        ("Adv_1[from=a+os:abort]", "from must be a torchvision name.*'os:abort'"),
        ("Adv_1[from=a+seven]", r"Adv_1\[from=a\+seven\]: .* knows 7 classes, and the other 4"),
    ],
)
def test_each_of_several_models_is_checked(toy_classifier, toy_images, two_models, view, message):
    with pytest.raises(RobustcheckError, match=message):
        evaluate(toy_classifier, toy_images, [view], transfer={name: name for name in two_models})


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ("Adv_1[from=seven]", r"Adv_1\[from=seven\]: .* knows 7 classes, and the other 4"),
        ("Adv_1[target=4]", r"toy has no class 4: its classes go from 0 to 3"),
        ("JPG(PGD_1[target=9])", r"PGD_1\[target=9\]: toy has no class 9"),
    ],
)
def test_view_that_can_t_be_had_is_refused_before_the_first_image(
    toy_classifier, toy_images, other_model, calls, view, message
):
    with pytest.raises(RobustcheckError, match=message):
        evaluate(toy_classifier, toy_images, ["x", view], transfer=TRANSFER)
    assert calls["gradient"] == 0


@pytest.mark.parametrize(
    ("ours", "theirs", "moved"),
    [
        ("cat dog cow hen", "cat dog cow hen", ""),
        ("cat dog cow hen", "Cat,kitten DOG cow_ hen", ""),
        ("cat dog cow hen", "one two three four", ""),
        ("cat cat cow hen", "cow cat cat hen", "'cow' is class 0 of .*, and class 2 of toy"),
        ("cat dog cow hen", "cat cow dog hen", "'dog' is class 2 of .*, and class 1 of toy"),
        ("cat dog cow hen", "Hen,chicken a b cat", "'cat' is class 3 of .*, and class 0 of toy"),
    ],
)
def test_attack_made_on_a_model_with_another_order_of_classes_is_refused(monkeypatch, ours, theirs, moved):
    examined, source = (classifier_of(Linear(), class_names=names.split()) for names in (ours, theirs))
    monkeypatch.setattr("robustcheck.evaluation.runner.load_model", lambda *_, **__: source)
    images = random_pixels(4)

    def evaluated():
        return evaluate(examined, images, "Adv_1[from=mine]", transfer=TRANSFER)

    if not moved:
        assert len(evaluated().views) == 2
        return
    with pytest.raises(RobustcheckError, match=f"in another order .*{moved}"):
        evaluated()


def test_model_that_can_t_be_loaded_names_the_view(toy_classifier, toy_images):
    assert loading  # the real one is asked
    with pytest.raises(RobustcheckError, match=r"Adv_1\[from=resnt50\]: unknown .*resnt50.*did you mean"):
        evaluate(toy_classifier, toy_images, ["Adv_1[from=resnt50]"])


def test_why_a_view_is_unsupported_is_known_without_evaluating(toy_classifier, toy_images):
    evaluation = Evaluation(toy_classifier, toy_images)
    assert evaluation.unsupported_reason(parse("Adv_1")) is None
    assert "no class 4" in str(evaluation.unsupported_reason(parse("Adv_1[target=4]")))


class Rooted(torch.nn.Module):
    """Finite, but for the slope of a square root at 0."""

    def forward(self, batch):
        flat = batch.flatten(1)
        score = flat.mean(1) + (flat * 0).sqrt().sum(1)
        return torch.stack([score, -score], dim=1)


@pytest.mark.parametrize("view", ["Adv_1", "PGD_1[steps=2]", "Adv_1[through=JPG]"])
def test_gradient_that_is_not_finite_is_an_error_and_no_image(toy_images, view):
    rooted = classifier_of(Rooted(), name="rooted")
    evaluate(rooted, ImageSet.from_arrays(pixels_of(toy_images)), ["x", "JPG"])
    with pytest.raises(
        RobustcheckError, match=r"rooted gave a gradient that is NaN or infinite on the way to"
    ):
        evaluate(rooted, ImageSet.from_arrays(pixels_of(toy_images) // 2), [view])


@pytest.mark.parametrize("attack", [fgs, pgd])
def test_nor_do_the_functions_follow_it(toy_images, attack):
    rooted = classifier_of(Rooted(), name="rooted")
    with pytest.raises(RobustcheckError, match="rooted gave a gradient that is NaN or infinite"):
        attack(rooted, pixels_of(toy_images) // 2, epsilon=1)
