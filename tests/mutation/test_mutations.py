"""The mutations: each changes what it says, leaves the user's network alone, and has a name in the docs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robustcheck import Classifier, ImageSet
from robustcheck.mutation.mutation import DoesNotApply, Setup, Subject
from robustcheck.mutation.networks import perturbed
from robustcheck.mutation.registry import MUTATIONS
from robustcheck.notation import parse
from tests.sanity import zoo

VIEWS = ("x", "Adv_16", "JPG(PGD_4[restarts=2])", "Noise_2", "JPG(Adv_4[through=JPG+Noise_2,eot=4])")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6 * 14 * 14, 12)

    def forward(self, images):
        return self.head(self.norm(self.conv(images)).relu().flatten(1))


@pytest.fixture(scope="module")
def setup():
    torch.manual_seed(0)
    net = Net().eval()
    classifier = Classifier(net, mean=(0.4,) * 3, std=(0.2,) * 3, input_size=16, name="toy", device="cpu")
    pixels = torch.randint(0, 256, (32, 3, 16, 16), dtype=torch.uint8)
    labels = classifier(pixels).argmax(dim=1).numpy()
    labels[:4] = (labels[:4] + 1) % 12
    images = ImageSet.from_arrays(pixels, labels)
    return Setup(classifier, images, lambda _classifier: images)


def subject(setup, views=VIEWS):
    return Subject(setup, [parse(view) for view in views])


def logits(setup):
    torch.manual_seed(0)
    with setup.classifier.evaluating():
        return setup.classifier(next(setup.images.batches(32)).pixels)


def gradient(setup):
    pixels = next(setup.images.batches(4)).pixels.float().requires_grad_()
    with setup.classifier.evaluating(), torch.enable_grad():
        score = setup.classifier.logits(pixels)[:, 0].sum()
        if not score.requires_grad:
            return torch.zeros_like(pixels)
        (found,) = torch.autograd.grad(score, pixels, allow_unused=True)
    return torch.zeros_like(pixels) if found is None else found


NEEDS_MORE = {
    "resized_by_another_rule": "images that are resized",
    "cropped_by_another_rule": "images that are resized",
    "baseline_of_a_weaker_model": "a baseline",
}


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in NEEDS_MORE])
def test_mutation_changes_something_and_leaves_the_network_alone(setup, name):
    module = setup.classifier.module
    state = {key: value.clone() for key, value in module.state_dict().items()}
    made = MUTATIONS[name].applied(subject(setup))
    changed = [
        not torch.equal(logits(made), logits(setup)),
        not torch.allclose(gradient(made), gradient(setup)),
        not np.array_equal(made.images.labels, setup.images.labels),
        any(made.rewrite(parse(view)) != parse(view) for view in VIEWS),
    ]
    assert any(changed)
    assert not module.training
    assert not any(layer.training for layer in module.modules())
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in NEEDS_MORE])
def test_folding_batch_norms_leaves_a_fault_as_it_is(setup, name):
    made = MUTATIONS[name].applied(subject(setup))
    folded = replace(made, classifier=made.classifier.folded(check=False))
    assert folded.classifier.is_folded
    is_same = torch.allclose(logits(folded), logits(made), atol=1e-4)
    assert is_same == made.is_foldable == (name != "train_mode")


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name.startswith("gradient_")])
def test_faults_of_the_gradient_leave_the_logits_alone(setup, name):
    made = MUTATIONS[name].applied(subject(setup))
    assert torch.equal(logits(made), logits(setup))


@pytest.mark.parametrize(
    ("name", "view", "expected"),
    [
        ("epsilon_a_255th", "JPG(Adv_8)", "JPG"),
        ("epsilon_a_255th", "PGD_8[steps=5]", "x"),
        ("attack_is_noise", "JPG(PGD_4[steps=5])", "JPG(Noise_4)"),
        ("attack_is_noise", "PGD_300[norm=2]", "Noise_255"),
        ("epsilon_halved", "Adv_9", "Adv_4"),
        ("epsilon_halved", "Adv_1", "Adv_1"),
        ("epsilon_doubled", "Adv_200", "Adv_255"),
        ("large_epsilons_dropped", "JPG(Adv_10)", "JPG"),
        ("large_epsilons_dropped", "Adv_8", "Adv_8"),
        ("attack_of_one_step", "PGD_8[steps=40]", "PGD_8[steps=1]"),
        ("attack_of_one_step", "Adv_8", "Adv_8"),
        ("attack_without_restarts", "PGD_8[restarts=3]", "PGD_8"),
        ("attack_blind_to_the_defence", "JPG(Adv_1[through=JPG])", "JPG(Adv_1)"),
        ("attack_of_one_draw", "JPG(Adv_1[through=Noise_2,eot=4])", "JPG(Adv_1[through=Noise_2])"),
        ("defence_left_out", "JPG(Adv_1)", "Adv_1"),
        ("defence_left_out", "JPG", "x"),
        ("defence_before_the_attack", "JPG_50(Adv_1)", "Adv_1(JPG_50)"),
        ("jpeg_quality_95", "JPG(Adv_1)", "JPG_95(Adv_1)"),
        ("jpeg_quality_10", "JPG_50", "JPG_10"),
        ("noise_left_out", "Noise_2(Adv_1)", "Adv_1"),
        ("noise_left_out", "x", "x"),
        ("epsilon_a_255th", "Worst(Adv_1; PGD_1)", "x"),
        ("jpeg_quality_95", "Worst(JPG(Adv_1); JPG(PGD_1))", "Worst(JPG_95(Adv_1); JPG_95(PGD_1))"),
    ],
)
def test_views_that_are_evaluated_in_place_of_others(setup, name, view, expected):
    assert MUTATIONS[name].change(setup).rewrite(parse(view)) == parse(expected)


@pytest.mark.parametrize(
    ("name", "views", "reason"),
    [
        ("gradient_cut", ["x", "JPG"], "no claim names an attack"),
        ("noise_left_out", ["Adv_1"], "no claim names noise"),
        ("attack_of_one_step", ["Adv_1"], "no claim names an attack of several steps"),
        ("baseline_of_a_weaker_model", ["x"], "there is no baseline"),
    ],
)
def test_what_does_not_apply_says_why(setup, name, views, reason):
    with pytest.raises(DoesNotApply, match=reason):
        MUTATIONS[name].applied(subject(setup, views))


class Parameterless(nn.Module):
    def forward(self, images):
        return images.mean((2, 3))


class Detached(Parameterless):
    def forward(self, images):
        return super().forward(images.detach())


@pytest.mark.parametrize(
    ("net", "name", "reason"),
    [
        (Detached(), "gradient_reversed", "no gradient"),
        (Parameterless(), "weights_pruned", "no weights"),
        (Parameterless(), "last_layer_not_loaded", "no linear or convolutional layer"),
        (Parameterless(), "train_mode", "no batch normalisation"),
        (Parameterless(), "normalisation_dropped", "does not normalise"),
        (Parameterless(), "labels_sorted_as_text", "fewer than 11 classes"),
        (Parameterless(), "rows_and_columns_exchanged", "not square"),
    ],
)
def test_network_that_a_fault_can_not_be_made_in_says_why(net, name, reason):
    size = (16, 8) if name.startswith("rows") else 16
    classifier = Classifier(net, mean=(0,) * 3, std=(1,) * 3, input_size=size, device="cpu")
    pixels = torch.zeros((4, 3, *classifier.input_size), dtype=torch.uint8)
    images = ImageSet.from_arrays(pixels, np.zeros(4, np.int64))
    with pytest.raises(DoesNotApply, match=reason):
        MUTATIONS[name].applied(subject(Setup(classifier, images, lambda _classifier: images)))


@pytest.mark.parametrize("which", [1, "scores"])
def test_logits_are_found_in_what_the_network_returns(setup, which):
    class Several(Net):
        def forward(self, images):
            scores = super().forward(images)
            return (images, scores, scores) if which == 1 else {"scores": scores, "others": scores}

    net = Several().eval()
    net.load_state_dict(setup.classifier.module.state_dict())
    classifier = Classifier(net, mean=(0.4,) * 3, std=(0.2,) * 3, input_size=16, device="cpu", output=which)
    several = Setup(classifier, setup.images, setup.reopen)
    for name in (
        "logits_saturated",
        "channels_swapped",
        "weights_pruned",
        "normalisation_dropped",
        "train_mode",
    ):
        made, expected = (MUTATIONS[name].applied(subject(each)) for each in (several, setup))
        torch.testing.assert_close(logits(made), logits(expected))


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_noise_on_weights_takes_as_little_as_asked(setup, loss):
    def accuracy(classifier):
        right = logits(Setup(classifier, setup.images, setup.reopen)).argmax(dim=1).numpy()
        return (right == setup.images.labels).mean()

    before, after = accuracy(setup.classifier), accuracy(perturbed(setup.classifier, setup.images, loss=loss))
    assert before - loss - 4 / 32 <= after <= before - loss


def test_weaker_baseline_is_wrong_on_a_third(setup):
    from robustcheck import evaluate
    from robustcheck.records.baseline import Baseline

    records = evaluate(setup.classifier, setup.images, ["x"])
    with_baseline = replace(setup, baseline=Baseline(Path("b.csv"), records))
    made = MUTATIONS["baseline_of_a_weaker_model"].applied(subject(with_baseline))
    assert made.baseline.records.mean("correct", "x") <= records.mean("correct", "x") - 0.25
    assert records.mean("kept", "x") == 1


def test_each_broken_set_up_of_the_zoo_is_a_mutation_or_says_why_not():
    assert zoo.AS_MUTATION.keys() | zoo.NO_MUTATION.keys() == zoo.ZOO.keys()
    assert not zoo.AS_MUTATION.keys() & zoo.NO_MUTATION.keys()
    assert set(zoo.AS_MUTATION.values()) <= MUTATIONS.keys()


def test_there_are_many_and_the_docs_name_each():
    page = (Path(__file__).parents[2] / "docs" / "mutation.md").read_text()
    assert len(MUTATIONS) >= 25
    missing = [name for name in MUTATIONS if name.replace("_5_", "_2_").replace("_10_", "_2_") not in page]
    assert not missing
    assert all(mutation.what and mutation.advice for mutation in MUTATIONS.values())
