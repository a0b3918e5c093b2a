"""The paper's eight views of the sample, against plain scripts and against the bare model calls, in turns.

    pytest tests/benchmarks/test_table.py -s

Each rival is run once for each run of ours, in one process; what counts is the median of the ratios.
"""

import io
import statistics
import time

import numpy as np
import pytest
import torch
from PIL import Image

from robustcheck import ImageSet, evaluate
from robustcheck.attacks import loss_gradient

TABLE = ["x", "Adv_1", "Adv_5", "Adv_10", "JPG(Adv_1)", "JPG(Adv_5)", "JPG(Adv_10)", "JPG_noise(Adv_1)"]
ROUNDS = 5


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(ours, theirs):
    """Return the seconds of both and the ratios theirs/ours, round by round, after one round of warming up."""
    ours(), theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    return pairs, sorted(their / our for our, their in pairs)


def show(capsys, name, pairs, ratios, count):
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{name}: ours {count / ours:.1f} images/s, theirs {count / theirs:.1f}; ratio {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f} .. {ratios[-1]:.2f} over {ROUNDS} rounds, {torch.get_num_threads()} CPU threads)"
        )


def recompressed(images):
    decoded = []
    for image in (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=75)
        decoded.append(np.asarray(Image.open(file)))
    return torch.tensor(np.stack(decoded)).permute(0, 3, 1, 2) / 255


def torchattacks_script(net, pixels, batch_size):
    """The table as torchattacks' documentation would have it: images in 0..1, one attack after the other."""
    import torchattacks

    wrapped = torch.nn.Sequential(Normalise(), net).eval()
    images = pixels / 255
    for batch in images.split(batch_size):
        with torch.no_grad():
            labels = wrapped(batch).argmax(1)
        views = []
        for epsilon in (1, 5, 10):
            adversarial = torchattacks.FGSM(wrapped, eps=epsilon / 255)(batch, labels)
            views += [adversarial, recompressed(adversarial)]
        change = views[1] - views[0]
        noise = change.flatten(1)[:, torch.randperm(change[0].numel())].view_as(change)
        views.append((views[0] + noise).clamp(0, 1))
        with torch.no_grad():
            for view in views:
                wrapped(view).softmax(1)


class Normalise(torch.nn.Module):
    def forward(self, images):
        return (images - 0.5) / 0.5


@pytest.fixture(scope="module")
def pixels(sample_images):
    return next(sample_images.batches(len(sample_images))).pixels


@pytest.mark.parametrize("batch_size", [8, 20])
def test_against_a_torchattacks_script(sample_classifier, sample_images, pixels, capsys, batch_size):
    pytest.importorskip("torchattacks")
    import copy

    net = copy.deepcopy(sample_classifier.module).to(memory_format=torch.contiguous_format).requires_grad_()
    pairs, ratios = in_turns(
        lambda: evaluate(sample_classifier, sample_images, TABLE),
        lambda: torchattacks_script(net, pixels, batch_size),
    )
    show(
        capsys,
        f"eight views, against a torchattacks script in batches of {batch_size}",
        pairs,
        ratios,
        len(pixels),
    )


@pytest.mark.parametrize("where", ["in files", "in memory"])
def test_against_the_bare_model_calls(sample_classifier, sample_images, pixels, capsys, where):
    images = sample_images if where == "in files" else ImageSet.from_arrays(pixels)

    def model_calls():
        """What any evaluation needs: one gradient, and seven forward passes of the views that it makes."""
        for batch in pixels.split(8):
            loss_gradient(sample_classifier, batch)
        with torch.inference_mode():
            for batch in pixels.repeat(7, 1, 1, 1).split(8):
                sample_classifier.logits(batch.float())

    pairs, ratios = in_turns(lambda: evaluate(sample_classifier, images, TABLE), model_calls)
    show(capsys, f"eight views of images {where}, against the model calls alone", pairs, ratios, len(pixels))
