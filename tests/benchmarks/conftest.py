"""All of it in one command, on the run's own model and images, saved by device:

    pytest tests/benchmarks
    pytest tests/benchmarks --robustcheck-model=resnet50 --robustcheck-images=imagenet:ROOT

The table at the end is robustcheck's own. What was measured goes to `.benchmarks/`, under the device's name, where
`--benchmark-compare` finds it. Everything else is pytest-benchmark's to choose.
"""

import copy
import re

import pytest
import torch

from robustcheck.attacks import loss_gradient
from robustcheck.benchmark.device_facts import cpu_name
from robustcheck.models.device import resolve_device
from tests.gpu import peers


def pytest_configure(config):
    """Save by device, and leave the columns that ours has to ours; each unless it is asked for otherwise."""
    option = config.option
    device = resolve_device(option.robustcheck_device or "auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu {cpu_name()}"
    if not (option.benchmark_save or option.benchmark_autosave or option.benchmark_json):
        option.benchmark_save = re.sub(r"\W+", "-", name)
    option.benchmark_columns = option.benchmark_columns or ["median", "iqr", "rounds"]


@pytest.fixture(scope="module")
def pixels(robustness):
    """Some of the run's images on the model's device: uint8 (n, 3, H, W)."""
    classifier, images = robustness.classifier, robustness.images
    count = 256 if classifier.device.type == "cuda" else 20
    return next(images.batches(min(count, len(images)))).pixels.to(classifier.device)


@pytest.fixture(scope="module")
def net(robustness):
    """The network as a script finds it: as it was trained, its parameters taking gradients."""
    return (
        copy.deepcopy(robustness.classifier.module).to(memory_format=torch.contiguous_format).requires_grad_()
    )


@pytest.fixture(scope="module")
def torchattacks_script(robustness, net, pixels):
    """The eight views as torchattacks' documentation would have them."""
    pytest.importorskip("torchattacks")
    model = peers.Normalised(net, robustness.classifier.preprocessing).to(pixels.device).eval()
    return lambda batch_size: peers.torchattacks_script(model, pixels, batch_size)


@pytest.fixture(scope="module")
def foolbox_script(robustness, net, pixels):
    """The eight views as Foolbox's documentation would have them."""
    foolbox = pytest.importorskip("foolbox")
    rule = robustness.classifier.preprocessing
    how = {"mean": rule.mean, "std": rule.std, "axis": -3}
    model = foolbox.PyTorchModel(net.eval(), bounds=(0, 1), device=pixels.device, preprocessing=how)

    def script(batch_size):
        for images in (pixels / 255).split(batch_size):
            labels = model(images).argmax(1)
            attack = foolbox.attacks.LinfFastGradientAttack()
            _, adversarials, _ = attack(model, images, labels, epsilons=[1 / 255, 5 / 255, 10 / 255])
            peers.classify_all(model, adversarials)

    return script


@pytest.fixture(scope="module")
def model_calls(robustness, pixels):
    """What any evaluation of the eight views needs: one gradient, and the seven other views through the model."""
    classifier, size = robustness.classifier, robustness.batch_size

    def calls():
        for batch in pixels.split(size):
            loss_gradient(classifier, batch)
        with torch.inference_mode():
            for batch in pixels.repeat(7, 1, 1, 1).split(size):
                classifier.logits(batch.float())

    return calls
