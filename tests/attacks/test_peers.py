"""FGS and PGD beside Foolbox's and torchattacks', on the sample.

Of FGS the same pixels, but where a gradient is rounding error; of PGD, whose ways part from there, the same success.
"""

import pytest
import torch

from robustcheck import Classifier, evaluate
from robustcheck.attacks import fgs, pgd
from tests.sanity import networks

pytestmark = pytest.mark.slow

EPSILONS = [1, 5, 10]


class Normalised(torch.nn.Module):
    """The network as peers take it: pixels in 0..1."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net((images - 0.5) / 0.5)


@pytest.fixture(scope="module")
def photographs(sample_images):
    return next(sample_images.batches(8)).pixels


@pytest.fixture(scope="module")
def labels(sample_classifier, photographs):
    return sample_classifier(photographs).argmax(1)


def by_torchattacks(net, images, labels, epsilon):
    torchattacks = pytest.importorskip("torchattacks")
    return torchattacks.FGSM(net, eps=epsilon / 255)(images, labels)


def by_foolbox(net, images, labels, epsilon):
    foolbox = pytest.importorskip("foolbox")
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    return attack(model, images, labels, epsilons=epsilon / 255)[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("peer", [by_torchattacks, by_foolbox])
def test_same_pixels_as_peers(sample_classifier, photographs, labels, peer, epsilon):
    ours = fgs(sample_classifier, photographs, epsilon=epsilon)
    theirs = peer(Normalised(sample_classifier.module).eval(), photographs / 255, labels, epsilon)
    equal = (ours == (theirs * 255).round().to(torch.uint8)).double().mean().item()
    assert equal >= 0.97, f"{equal:.4f} of the samples are equal"


STEPS, STEP = 3, 0.5


def pgd_by_torchattacks(net, images, labels):
    torchattacks = pytest.importorskip("torchattacks")
    return torchattacks.PGD(net, eps=1 / 255, alpha=STEP / 255, steps=STEPS, random_start=False)(
        images, labels
    )


def pgd_by_foolbox(net, images, labels):
    foolbox = pytest.importorskip("foolbox")
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP / 255, steps=STEPS, random_start=False)
    return attack(model, images, labels, epsilons=1 / 255)[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peer", [pgd_by_torchattacks, pgd_by_foolbox])
def test_same_success_as_peers(sample_classifier, photographs, labels, peer):
    ours = pgd(sample_classifier, photographs, epsilon=1, steps=STEPS, step=STEP, start="zero")
    theirs = peer(Normalised(sample_classifier.module).eval(), photographs / 255, labels)
    theirs = (theirs * 255).round().to(torch.uint8)
    kept = [int((sample_classifier(found).argmax(1) == labels).sum()) for found in (ours, theirs)]
    assert abs(kept[0] - kept[1]) <= 1
    assert max(kept) <= 3  # of eight


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("epsilon", [40, 64])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_auto_pgd_is_at_least_as_strong_as_torchattacks_with_the_dlr_loss(epsilon, scale):
    """On an adversarially trained network, at equal gradient calls; with large logits, too."""
    pytest.importorskip("torchattacks")
    robust, images = networks.trained("robust")
    scaled = torch.nn.Sequential(robust.module, Times(scale)).eval()
    classifier = Classifier(scaled, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="cpu")
    ours, theirs = f"APGD_{epsilon}[steps=30]", f"torchattacks:APGD_{epsilon}[loss=dlr,steps=30]"
    records = evaluate(classifier, images, [ours, theirs], batch_size=160)
    assert records.mean("kept", ours) <= records.mean("kept", theirs)


class Times(torch.nn.Module):
    """Logits times a number."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, logits):
        return logits * self.factor
