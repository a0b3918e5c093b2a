"""Networks that plain torch runs run here, and those that can't be evaluated end in an error that says what to do."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn

from robustcheck import ImageSet, RobustcheckError, attacks, evaluate
from robustcheck.models import Classifier
from tests.toys import random_pixels

PIXELS = torch.from_numpy(random_pixels(4, size=32))
IMAGES = ImageSet.from_arrays(PIXELS)


def classifier_of(net, **options):
    given = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": 32, "device": "cpu", "name": "net"}
    return Classifier(net, **given, **options)


def plain(net):
    """Logits, and the signs of the gradient against the top labels, as torch alone computes them."""
    pixels = PIXELS.float().requires_grad_()
    logits = net((pixels / 255 - 0.5) / 0.5)
    F.cross_entropy(logits, logits.argmax(1), reduction="sum").backward()
    return logits.detach(), pixels.grad.sign()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 10)

    def forward(self, images):
        return self.head(self.norm(self.conv(images)).relu().mean((2, 3)))


class LeNet(nn.Module):
    """As in many a tutorial: views of what a convolution returns."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.head = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5), nn.Linear(400, 10)

    def forward(self, images):
        images = F.max_pool2d(self.one(images).relu(), 2)
        images = F.max_pool2d(self.two(images).relu(), 2)
        return self.head(images.view(images.size(0), -1))


class ViewsImages(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3072, 10)

    def forward(self, images):
        return self.head(images.view(len(images), -1))


class ViewsGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images):
        ctx.save_for_backward(images)
        return images.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (images,) = ctx.saved_tensors
        return (gradient.view(-1) * (images.view(-1) > 0)).view(images.shape)


class ViewsInBackward(Net):
    def forward(self, images):
        return self.head(ViewsGradient.apply(self.conv(images)).mean((2, 3)))


class ReadsMemory(Net):
    """No error, but other numbers in another layout: as a kernel of one's own that takes memory as it lies."""

    def forward(self, images):
        order = torch.as_strided(images, (len(images), 3 * 32 * 32), (3 * 32 * 32, 1))
        return super().forward(images) + order[:, :10]


class FiveDimensions(Net):
    def __init__(self):
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(4, 8, 8, 3, 3))

    def forward(self, images):
        return super().forward(images) + self.kernels[0, 0, 0, 0, 0]


class OwnTo(Net):
    def to(self, device):
        return super().to(device)


class Reentrant(Net):
    def forward(self, images):
        hidden = torch.utils.checkpoint.checkpoint(self.part, images, use_reentrant=True)
        return self.head(hidden.mean((2, 3)))

    def part(self, images):
        return self.norm(self.conv(images)).relu()


class FirstIsDouble(nn.Module):
    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.net = Net()

    def forward(self, images):
        return self.net(images) / self.temperature.float()


class AllDouble(Net):
    def __init__(self):
        super().__init__()
        self.double()

    def forward(self, images):
        return super().forward(images.double())


class ScriptedPart(nn.Module):
    def __init__(self):
        super().__init__()
        with pytest.warns(FutureWarning if torch.__version__ >= "2.9" else DeprecationWarning):
            self.net = torch.jit.script(Net().eval())

    def forward(self, images):
        return self.net(images)


RUN = [
    LeNet,
    ViewsImages,
    ViewsInBackward,
    ReadsMemory,
    FiveDimensions,
    OwnTo,
    Reentrant,
    FirstIsDouble,
    AllDouble,
]


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # of reentrant checkpointing
@pytest.mark.parametrize("make", RUN, ids=lambda make: make.__name__)
def test_what_plain_torch_runs_runs_here_and_gives_the_same(make):
    net = make().eval()
    classifier = classifier_of(net)
    logits, signs = plain(net)
    records = evaluate(classifier, IMAGES, ["x", "Adv_1"])
    assert records.column("prediction", "x").astype(int).tolist() == logits.argmax(1).tolist()
    torch.testing.assert_close(classifier(PIXELS), logits.float(), rtol=1e-4, atol=1e-5)
    found = attacks.fgs(classifier, PIXELS, epsilon=1)
    expected = (PIXELS.float() + signs).clamp(0, 255).to(torch.uint8)
    assert (found == expected).float().mean() > 0.999
    plain(net)  # and the user's own call afterwards


def test_the_layout_is_channels_last_where_that_computes_the_same():
    assert classifier_of(Net().eval()).channels_last
    for make in (LeNet, ViewsImages, ViewsInBackward, ReadsMemory):
        assert not classifier_of(make().eval()).channels_last


def test_attacks_of_libraries_get_gradients_that_they_can_view():
    pytest.importorskip("torchattacks")
    records = evaluate(classifier_of(Net().eval()), IMAGES, ["torchattacks:PGDL2_100[steps=2]"])
    assert len(records) == 4


def test_a_network_that_mixes_the_images_of_a_batch_runs_with_a_warning():
    class Mixes(Net):
        def __init__(self):
            super().__init__()
            self.last = nn.BatchNorm1d(8, track_running_stats=False)

        def forward(self, images):
            return self.head(self.last(self.norm(self.conv(images)).relu().mean((2, 3))))

    with pytest.warns(UserWarning, match="fails on an image alone, so an image depends on its batch"):
        evaluate(classifier_of(Mixes().eval()), IMAGES, ["x", "Adv_1"])


class Grey(Net):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)


class Lazy(Net):
    def __init__(self):
        super().__init__()
        self.head = nn.LazyLinear(10)


def made_in_inference_mode():
    with torch.inference_mode():
        return Net()


def on_meta():
    with torch.device("meta"):
        return Net()


def scripted():
    with pytest.warns((DeprecationWarning, FutureWarning)):
        return torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(7200, 10)).eval())


def exported():
    return torch.export.export(Net().eval(), (torch.zeros(4, 3, 32, 32),)).module()


class Broken(Net):
    def forward(self, images):
        return super().forward(images) @ torch.zeros(3, 3)


class BreaksBackward(Net):
    def forward(self, images):
        return super().forward(Refuses.apply(images))


class Refuses(torch.autograd.Function):
    @staticmethod
    def forward(_ctx, images):
        return images * 1

    @staticmethod
    def backward(_ctx, _gradient):
        raise NotImplementedError("no way back")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            Grey,
            r"net failed on images \(.*test_user_network.py:\d+: RuntimeError: .*one channel.*Classifier\(net, mean=\(0.5,\), std",
        ),
        (Lazy, r"net must have weights, got layers .*LazyLinear.*: run it once on a batch"),
        (
            made_in_inference_mode,
            "net, or a defence ahead of it, holds tensors made under torch.inference_mode",
        ),
        (on_meta, "net must have weights, got tensors on the meta device"),
        (scripted, r"a program of TorchScript: save it.*robustcheck.load_program\(PATH\)"),
        (exported, r"a program of torch.export: save it.*robustcheck.load_program\(PATH\)"),
        (Broken, r"net failed on images \(4, 3, 32, 32\).*by itself on torch.zeros\(4, 3, 32, 32\)"),
        (BreaksBackward, "net failed in the backward pass .*NotImplementedError: no way back"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_can_not_be_evaluated_ends_in_what_to_do(make, message):
    net = make()
    if type(net).__module__ == __name__:
        net.eval()
    with pytest.raises(RobustcheckError, match=f"(?s){message}"):
        evaluate(classifier_of(net), IMAGES, ["x", "Adv_1"])


def test_a_copy_of_what_was_made_in_inference_mode_runs():
    import copy

    evaluate(classifier_of(copy.deepcopy(made_in_inference_mode()).eval()), IMAGES, ["x", "Adv_1"])


def test_a_scripted_part_of_a_network_runs():
    evaluate(classifier_of(ScriptedPart().eval()), IMAGES, ["x", "Adv_1"])


@pytest.mark.parametrize(
    "labels", [3, torch.tensor(3), torch.eye(4, 10, dtype=torch.int64), [1, 2, 3, 4], np.zeros(4)]
)
@pytest.mark.parametrize("attack", [attacks.fgs, attacks.pgd])
def test_labels_of_another_kind_are_refused(labels, attack):
    with pytest.raises(RobustcheckError, match=r"labels must be an int64 tensor of shape \(4,\).* got"):
        attack(classifier_of(Net().eval()), PIXELS, epsilon=1, labels=labels)


@pytest.mark.parametrize("epsilon", ["8", None, True, [1], 0, 1.5, float("nan")])
@pytest.mark.parametrize("attack", [attacks.fgs, attacks.pgd])
def test_an_epsilon_of_another_kind_is_refused(epsilon, attack):
    with pytest.raises(RobustcheckError, match="epsilon must be an integer number of pixel levels"):
        attack(classifier_of(Net().eval()), PIXELS, epsilon=epsilon)


@pytest.mark.filterwarnings("ignore")
def test_autoattack_with_few_classes():
    pytest.importorskip("pyautoattack")
    for classes in (2, 3, 5):
        net = Net().eval()
        net.head = nn.Linear(8, classes)
        if classes == 5:
            assert len(evaluate(classifier_of(net), IMAGES, ["autoattack_1[attacks=apgd-t]"])) == 4
        else:
            with pytest.raises(
                RobustcheckError, match=rf"apgd-t .* has {classes}: .*attacks=apgd-ce\+fab-t\+square"
            ):
                evaluate(classifier_of(net), IMAGES, ["autoattack_1"])
