"""Networks of grey images, of one logit and with a forward of their own: they run, or the error has the lines to add."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import robustcheck
from robustcheck import ImageSet, RobustcheckError, evaluate
from robustcheck.models import Classifier, as_classifier
from tests.toys import random_pixels

PIXELS = torch.from_numpy(random_pixels(6, size=8))
LABELS = [0, 1, 2, 0, 1, 2]


def rgb(net, **options):
    given = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "input_size": 8, "device": "cpu", "name": "net"}
    return Classifier(net.eval(), **{**given, **options})


def grey(net, **options):
    return rgb(net, **{"mean": (0.5,), "std": (0.25,), **options})


class GreyConvolution(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))


class GreyNorm(GreyConvolution):
    def __init__(self):
        super().__init__()
        self.first = nn.BatchNorm2d(1)

    def forward(self, x):
        return super().forward(self.first(x))


def grey_perceptron():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


class OfTheMean(nn.Module):
    """What a user would write for RGB images."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x.mean(1, keepdim=True))


@pytest.mark.parametrize("make", [GreyConvolution, GreyNorm, grey_perceptron])
def test_a_grey_network_gets_the_mean_of_the_channels(make):
    net = make()
    own, other = grey(net), rgb(OfTheMean(net))
    torch.testing.assert_close(own(PIXELS), other(PIXELS))
    views = ["Adv_2", "JPG(PGD_4)", "Noise_2", "Adv_2[through=JPG]"]
    mine, theirs = (evaluate(each, ImageSet.from_arrays(PIXELS, LABELS), views) for each in (own, other))
    for view in ["x", *views]:
        np.testing.assert_allclose(mine.column("p_top", view), theirs.column("p_top", view), atol=1e-5)
    assert own.fingerprint != other.fingerprint
    assert own.to("cpu").preprocessing.is_grey


def test_grey_images_reach_a_grey_network_as_they_are():
    seen = []

    class Sees(GreyConvolution):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    level = torch.arange(64, dtype=torch.uint8).view(1, 8, 8) * 4
    images = robustcheck.images.image_set_of([(level, 0)], grey(Sees()).preprocessing, name="mine")
    grey(Sees(), mean=(0.0,), std=(1.0,))(next(iter(images)).pixels)
    assert torch.equal(seen[-1], level[None] / 255)


def test_reports_state_the_rule_of_grey():
    records = evaluate(grey(GreyConvolution()), ImageSet.from_arrays(PIXELS, LABELS), ["x"])
    assert "grey as (R + G + B) / 3, mean (0.5,), std (0.25,)" in str(records.provenance)


@pytest.mark.parametrize("make", [GreyConvolution, GreyNorm, grey_perceptron])
def test_a_grey_network_that_is_not_declared_says_how(make):
    with pytest.raises(RobustcheckError, match="one channel, and gets RGB") as error:
        rgb(make()).probe()
    (line,) = [line for line in str(error.value).splitlines() if line.startswith("    ")]
    names = {"robustcheck": robustcheck, "net": make().eval()}
    assert eval(line.strip().replace("...", "8"), names).probe() == 3


def test_an_rgb_network_declared_as_grey_says_how():
    with pytest.raises(RobustcheckError, match="takes images of three channels, and gets grey"):
        grey(nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten())).probe()


def test_a_grey_network_with_its_configuration():
    net = GreyConvolution().eval()
    net.pretrained_cfg = {"input_size": (1, 8, 8), "mean": (0.5,), "std": (0.25,), "crop_pct": 1.0}
    made = as_classifier(net, name="net")
    assert torch.equal(made(PIXELS), grey(net)(PIXELS))


class OneColumn(nn.Module):
    def forward(self, x):
        return x[:, :1].mean((2, 3))


class OneNumber(nn.Module):
    def forward(self, x):
        return x[:, 0].mean((1, 2))


@dataclass
class Returned:
    score: torch.Tensor


class Among(nn.Module):
    """One number for each image, in a container."""

    def __init__(self, pack):
        super().__init__()
        self.pack = pack

    def forward(self, x):
        return self.pack(x[:, :1].mean((2, 3)))


class Keyword(nn.Module):
    def forward(self, *, pixel_values):
        return pixel_values.mean((2, 3))


class KeywordAmongOthers(nn.Module):
    def forward(self, *, scale=1, images, **_others):
        return images.mean((2, 3)) * scale


class Second(nn.Module):
    def forward(self, scale, x):
        return x.mean((2, 3)) * (1 if scale is ... else scale)


class Flags(nn.Module):
    def forward(self, x, flag, *, other):
        return x.mean((2, 3)) if flag is other else None


@pytest.mark.parametrize(
    "pack",
    [
        lambda score: (score,),
        lambda score: [score, None],
        lambda score: {"score": score, "steps": 3},
        lambda score: {"logits": score, "features": torch.zeros(len(score), 7)},
        lambda score: {"logits": score[:, 0]},
        lambda score: {0: {"head": (score,)}},
        Returned,
    ],
)
def test_the_lines_for_one_logit_find_it_in_what_the_network_returns(pack):
    with pytest.raises(RobustcheckError, match=r"evaluate Wrapped\(net\)") as error:
        rgb(Among(pack)).probe()
    names = {"torch": torch}
    exec("\n".join(line[4:] for line in str(error.value).splitlines() if line.startswith("    ")), names)
    logits = rgb(names["Wrapped"](Among(pack)))(PIXELS)
    means = (PIXELS / 255 - 0.5).div(0.25).mean((2, 3))
    torch.testing.assert_close(logits, F.pad(means[:, :1], (1, 0)))


@pytest.mark.parametrize("make", [OneColumn, OneNumber, Keyword, KeywordAmongOthers, Second, Flags])
def test_the_lines_of_the_error_make_a_network_work(make):
    with pytest.raises(RobustcheckError, match=r"evaluate Wrapped\(net\)") as error:
        rgb(make()).probe()
    lines = [line[4:] for line in str(error.value).splitlines() if line.startswith("    ")]
    assert len(lines) == 3
    names = {"torch": torch}
    exec("\n".join(lines), names)
    logits = rgb(names["Wrapped"](make()))(PIXELS)
    means = (PIXELS / 255 - 0.5).div(0.25).mean((2, 3))
    expected = F.pad(means[:, :1], (1, 0)) if make in (OneColumn, OneNumber) else means
    torch.testing.assert_close(logits, expected)
    if logits.shape[1] == 2:
        torch.testing.assert_close(logits.softmax(1)[:, 1], means[:, 0].sigmoid())
