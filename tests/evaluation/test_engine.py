"""The engine on a classifier so small that what it did can be counted, and computed again by hand."""

import numpy as np
import pytest
import torch

from robustcheck import Classifier, ImageSet, RobustcheckError, evaluate
from robustcheck.attacks import fgs
from robustcheck.evaluation import Evaluation, RunConfig
from tests.toys import pixels_of, through_pillow

AGAIN = 1 + 2
"""One image is classified again, alone; and two of noise, to see in which precision."""

TABLE = ["x", "Adv_1", "Adv_5", "Adv_10", "JPG(Adv_1)", "JPG(Adv_5)", "JPG(Adv_10)", "JPG_noise(Adv_1)"]


@pytest.fixture
def counted(monkeypatch, toy_classifier):
    """Forward and backward passes of the toy, in images."""
    counts = {"forward": 0, "backward": 0, "calls": 0, "largest": 0}

    def forward(module, args, output):
        counts["forward"] += len(output)
        counts["calls"] += 1
        counts["largest"] = max(counts["largest"], len(output))
        if output.requires_grad:
            output.register_hook(lambda grad: counts.__setitem__("backward", counts["backward"] + len(grad)))

    handle = toy_classifier.module.register_forward_hook(forward)
    yield counts
    handle.remove()


def test_records_are_what_plain_code_computes(toy_classifier, toy_images):
    records = evaluate(toy_classifier, toy_images, ["x", "Adv_5", "JPG_50(Adv_5)"], batch_size=4)
    clean = pixels_of(toy_images)
    logits = toy_classifier(clean)
    top = logits.argmax(1)
    for view, images in {
        "x": clean,
        "Adv_5": fgs(toy_classifier, clean, epsilon=5),
        "JPG_50(Adv_5)": through_pillow(fgs(toy_classifier, clean, epsilon=5), 50),
    }.items():
        logits = toy_classifier(images)
        change = images.double() - clean.double()
        expected = {
            "prediction": logits.argmax(1),
            "correct": logits.argmax(1) == torch.tensor(toy_images.labels),
            "p_top": logits.double().softmax(1)[torch.arange(13), top],
            "kept": logits.argmax(1) == top,
            "linf": change.flatten(1).abs().amax(1),
            "l2": change.flatten(1).norm(dim=1),
        }
        for name, values in expected.items():
            np.testing.assert_allclose(
                records.column(name, view), values.double(), rtol=1e-5, err_msg=f"{name} of {view}"
            )
    assert records.mean("accuracy", "x") == 10 / 13


def test_the_paper_s_table_takes_one_backward_and_eight_forward_passes(toy_classifier, toy_images, counted):
    evaluate(toy_classifier, toy_images, TABLE, batch_size=5)
    assert counted["backward"] == len(toy_images)
    assert counted["forward"] == 8 * len(toy_images) + AGAIN
    assert counted["largest"] <= 5
    # Batches of 5, 5 and 3: one call each for the clean images, and full batches for the 7 other views.
    assert counted["calls"] == 3 + 7 + 7 + -(-3 * 7 // 5) + 2


def test_without_attack_there_is_no_backward_pass(toy_classifier, toy_images, counted):
    evaluate(toy_classifier, toy_images, ["JPG", "Noise_5"])
    assert counted["backward"] == 0
    assert counted["forward"] == 3 * len(toy_images) + AGAIN


def test_views_added_later_do_not_classify_again_what_is_there(toy_classifier, toy_images, counted):
    evaluation = Evaluation(toy_classifier, toy_images)
    evaluation.run(["x", "JPG"])
    before = counted["forward"]
    evaluation.run(["x", "JPG", "Noise_5"])
    assert counted["forward"] - before == len(toy_images)
    evaluation.run(["x", "JPG", "Noise_5"])
    assert counted["forward"] - before == len(toy_images)


def test_later_and_together_are_the_same(toy_classifier, toy_images):
    stepwise = Evaluation(toy_classifier, toy_images, RunConfig(batch_size=4))
    stepwise.run(["JPG"], count=3)
    stepwise.run(["Adv_5"], count=9)
    stepwise.run([*TABLE, "JPG"])
    together = evaluate(toy_classifier, toy_images, ["x", "JPG", *TABLE], batch_size=4)
    for view in together.views:
        for name in ("prediction", "p_top", "l2"):
            np.testing.assert_allclose(
                stepwise.records.column(name, view),
                together.column(name, view),
                rtol=1e-6,
                err_msg=f"{name} of {view}",
            )


@pytest.mark.parametrize("batch_size", [1, 3, 13, 64])
def test_batch_size_does_not_matter(toy_classifier, toy_images, batch_size):
    views = [*TABLE, "Noise_3", "JPG_noise_10(Adv_5(JPG))"]
    records, other = (
        evaluate(toy_classifier, toy_images, views, batch_size=size) for size in (8, batch_size)
    )
    for view in views:
        np.testing.assert_array_equal(records.column("l2", view), other.column("l2", view), err_msg=view)
        np.testing.assert_allclose(records.column("p_top", view), other.column("p_top", view), rtol=1e-5)
    assert records.ids == other.ids


def test_only_the_first_of_the_order_are_evaluated(toy_classifier, toy_images):
    order = np.random.default_rng(0).permutation(13)
    evaluation = Evaluation(toy_classifier, toy_images, RunConfig(batch_size=4), order=order)
    evaluation.run(["Adv_1"], count=5)
    assert evaluation.done(evaluation.records.views[1]) == 8
    seen = evaluation.records.seen("Adv_1")
    assert sorted(np.flatnonzero(seen)) == sorted(order[:8])
    whole = evaluate(toy_classifier, toy_images, ["Adv_1"])
    np.testing.assert_allclose(
        evaluation.records.column("p_top", "Adv_1")[seen], whole.column("p_top", "Adv_1")[seen]
    )
    assert np.isnan(evaluation.records.column("p_top", "Adv_1")[~seen]).all()


def test_seed_decides_all_that_is_random(toy_classifier, toy_images):
    runs = [
        evaluate(toy_classifier, toy_images, ["Noise_9"], seed=seed).column("p_top", "Noise_9")
        for seed in (0, 0, 1)
    ]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_true_label_attack_lowers_the_label_not_the_top_label(toy_classifier, toy_images):
    records = evaluate(toy_classifier, toy_images, ["Adv_9", "Adv_9[label=true]"])
    wrong = records.column("correct", "x") == 0
    p_top = {view: records.column("p_top", view)[wrong] for view in ("x", "Adv_9", "Adv_9[label=true]")}
    assert (p_top["Adv_9"] < p_top["x"]).all()
    assert (p_top["Adv_9[label=true]"] > p_top["Adv_9"]).all()


def test_attack_through_the_defence_is_the_stronger(toy_classifier, toy_images):
    # At quality 5 JPEG takes most of what the blind gradient adds.
    records = evaluate(toy_classifier, toy_images, ["JPG_5(Adv_9)", "JPG_5(Adv_9[through=JPG_5])"])
    blind, adaptive = (
        records.mean("p_top", view) for view in ("JPG_5(Adv_9)", "JPG_5(Adv_9[through=JPG_5])")
    )
    assert adaptive < blind - 0.01


def test_images_without_labels_have_no_accuracy_and_all_else(toy_classifier, toy_images):
    unlabelled = ImageSet.from_arrays(pixels_of(toy_images))
    records = evaluate(toy_classifier, unlabelled, ["Adv_5"])
    assert records.mean("kept", "x") == 1
    with pytest.raises(RobustcheckError, match="13 of 13 images have none"):
        records.mean("accuracy", "x")
    with pytest.raises(RobustcheckError, match=r"\[label=true\] needs labels"):
        evaluate(toy_classifier, unlabelled, ["Adv_5[label=true]"])


def test_label_outside_the_classes_is_an_error_that_names_the_image(toy_classifier, toy_images):
    labels = toy_images.labels.copy()
    labels[6] = 4
    outside = ImageSet.from_arrays(pixels_of(toy_images), labels, names=toy_images.names)
    with pytest.raises(RobustcheckError, match=r"toy-06.png has 4"):
        evaluate(toy_classifier, outside, ["x"])


class NotFinite(torch.nn.Module):
    """NaN for images with a white sample."""

    def forward(self, batch):
        brightest = batch.flatten(1).amax(1)
        scores = torch.stack([brightest, -brightest], 1)
        return scores.where((brightest < 1)[:, None], scores.new_tensor(torch.nan))


def test_logits_that_are_not_finite_name_image_and_view(toy_images):
    broken = Classifier(NotFinite(), mean=(0,) * 3, std=(1,) * 3, input_size=16, device="cpu", name="broken")
    pixels = torch.zeros_like(pixels_of(toy_images))
    pixels[7] = 225
    images = ImageSet.from_arrays(pixels, names=toy_images.names)
    evaluate(broken, images, ["x", "Noise_9"])
    with pytest.raises(
        RobustcheckError, match=r"broken gave logits that are not finite .* of Noise_40, .* toy-07.png"
    ):
        evaluate(broken, images, ["Noise_40", "Noise_9"])


def test_progress_is_told_image_by_image(toy_classifier, toy_images):
    told = []
    evaluate(
        toy_classifier,
        toy_images,
        ["x"],
        batch_size=5,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(5, 13), (10, 13), (13, 13)]


def test_an_exception_in_the_middle_keeps_what_was_done(toy_classifier, toy_images):
    def stop(done, _):
        if done == 8:
            raise KeyboardInterrupt

    evaluation = Evaluation(toy_classifier, toy_images, RunConfig(batch_size=4), progress=stop)
    with pytest.raises(KeyboardInterrupt):
        evaluation.run(TABLE)
    evaluation.progress = None
    evaluation.run(TABLE)
    whole = evaluate(toy_classifier, toy_images, TABLE, batch_size=4)
    for view in whole.views:
        assert np.array_equal(evaluation.records.column("p_top", view), whole.column("p_top", view))


def test_provenance_names_everything_the_numbers_depend_on(toy_classifier, toy_images):
    provenance = evaluate(toy_classifier, toy_images, ["x"], seed=7).provenance
    assert provenance.model.weights == toy_classifier.fingerprint
    assert f"13 images, fingerprint {toy_images.fingerprint}" in str(provenance.images)
    started = Evaluation(toy_classifier, toy_images, RunConfig(batch_size=4))
    started.run(["x"], count=4)
    assert "fingerprint" not in str(started.provenance.images)
    assert provenance.seed == "7"
    assert "cpu" in provenance.devices[0]
    assert {"codec", "labels", "versions", "pixels"} <= set(provenance.header())


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["pillow", "tensor"])
def test_table_of_the_sample_is_the_same_by_every_codec(sample_classifier, sample_images, codec):
    views = ["JPG", "JPG(Adv_5)", "JPG_noise(Adv_1)"]
    some = sample_images.subset(range(6))
    records, other = (evaluate(sample_classifier, some, views, codec=which) for which in ("auto", codec))
    for view in views:
        for column in ("prediction", "p_top", "l2"):
            np.testing.assert_array_equal(records.column(column, view), other.column(column, view))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"seed": "a"}, "seed must be an integer, got 'a'"),
        ({"seed": None}, "seed must be an integer, got None"),
        ({"batch_size": 0}, "batch_size .* must be an integer >= 1, got 0"),
        ({"batch_size": 2.5}, "batch_size .* got 2.5"),
        ({"batch_size": "banana"}, "batch_size .* got 'banana'"),
        ({"views": None}, "views must be a view or a list of views, .* got None"),
        ({"views": 3}, "views must be .* got 3"),
    ],
)
def test_option_of_the_wrong_type_is_refused(toy_classifier, toy_images, option, message):
    with pytest.raises(RobustcheckError, match=message):
        evaluate(toy_classifier, toy_images, **{"views": ["x"], **option})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "got None: give X alone"),
        (np.eye(4)[[0, 1]], r"got labels of shape \(2, 4\): give \(X, y.argmax\(1\)\)"),
        (torch.zeros(2, 1), r"got labels of shape \(2, 1\): give \(X, y\[:, 0\]\)"),
        (np.array(3), r"got labels of shape \(\)"),
    ],
)
def test_labels_of_a_pair_that_are_not_one_for_each_image_are_refused(toy_classifier, labels, message):
    with pytest.raises(RobustcheckError, match=message):
        evaluate(toy_classifier, (np.zeros((2, 3, 16, 16), np.uint8), labels), "x")
