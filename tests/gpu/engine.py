"""What the engine promises on a device: nothing waits, memory is flat, numbers are the CPU's. Tests assert it, too."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
import torchvision

from robustcheck import Classifier, ImageSet, RobustnessWarning, evaluate
from tests.gpu.device import host_waits, peak_bytes
from tests.gpu.images import noise

ON_THE_HOST = {
    "jpeg/validation.py": "qualities, which are made on the host",
    "jpeg/tables.py": "the same qualities",
    "jpeg/pillow.py": "the CPU's codec, which a defence's forward pass takes",
    "jpeg/torchvision.py": "the same, by another library",
    "evaluation/runner.py": "what was measured of an earlier batch, once its copy to the host has arrived",
}
"""Where values are read that are not the device's: on the CPU that can't be told. On CUDA none of these waits."""
TABLE = ["x", "Adv_1", "Adv_5", "Adv_10", "JPG(Adv_1)", "JPG(Adv_5)", "JPG(Adv_10)", "JPG_noise(Adv_1)"]
OTHERS = ["PGD_4[steps=3]", "JPG_50..90(Noise_5)", "Adv_2[through=JPG]"]


def classifier_on(device: str, size: int = 64) -> Classifier:
    """A ResNet-18 of random weights."""
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=10).eval()
    return Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=size, device=device)


def images_of(count: int, size: int = 64) -> ImageSet:
    return ImageSet.from_arrays(noise(count, size).numpy())


def quietly(classifier: Classifier, images: ImageSet, views: Sequence[str], **how):
    """Evaluate, without warnings that a network of random weights knows nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RobustnessWarning)
        return evaluate(classifier, images, views, **how)


def a_wait_is_seen(device: str) -> bool:
    """Whether `host_waits` counts reading a value of the device."""
    value = torch.ones(1, device=device)
    with host_waits(device) as places:
        value.item()
    return bool(places)


def waits_by_batches(
    device: str,
    views: Sequence[str],
    *,
    size: int = 64,
    batch_size: int = 16,
    batches: tuple[int, int] = (4, 12),
) -> Counter[str]:
    """Where the host waits more often with more batches."""
    classifier = classifier_on(device, size)
    found = []
    for count in batches:
        images = images_of(count * batch_size, size)
        with host_waits(device) as places, warnings.catch_warnings():
            warnings.simplefilter("ignore", RobustnessWarning)
            # by the codec that runs on every device: Pillow's would read each batch
            evaluate(classifier, images, views, batch_size=batch_size, codec="tensor")
        found.append(places)
    more = found[1] - found[0]
    return Counter({place: n for place, n in more.items() if not any(host in place for host in ON_THE_HOST)})


def peaks(
    device: str, counts: Sequence[int] = (64, 512), *, size: int = 64, batch_size: int = 32
) -> list[int]:
    """The most memory in use, in bytes, with so many images."""
    classifier = classifier_on(device, size)
    sets = [images_of(count, size) for count in (min(counts), *counts)]  # the first warms up
    return [
        peak_bytes(lambda i=images: quietly(classifier, i, TABLE, batch_size=batch_size), device)
        for images in sets
    ][1:]


def differences(device: str, *, count: int = 32, size: int = 64) -> dict[str, dict[str, float]]:
    """By view, how far the device's records are from the CPU's: the largest difference of each column."""
    images, views = images_of(count, size), ["x", "JPG", "Noise_5", "Adv_5"]
    here, there = (quietly(classifier_on(where, size), images, views) for where in ("cpu", device))
    return {
        view: {
            column: float(np.abs(here.column(column, view) - there.column(column, view)).max())
            for column in ("l2", "p_top")
        }
        for view in views
    }


TOLERANCES = {
    **{view: {"l2": 0.0, "p_top": 1e-4} for view in ("x", "JPG", "Noise_5")},
    "Adv_5": {"p_top": 2e-2},
}
"""FGS pixels depend on the signs of a gradient, of which a few near zero differ between devices."""
