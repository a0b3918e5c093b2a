from __future__ import annotations

import json
import math
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from robustcheck import RobustcheckError
from robustcheck.images.decoding import resize_and_crop
from robustcheck.models import load_model
from robustcheck.models.sources.hf_processor import preprocessing_of

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def small_vit(**options):
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        **{"num_labels": 5, **options},
    )
    return transformers.ViTForImageClassification(config).eval()


def small_resnet(**options):
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], **{"num_labels": 3, **options}
    )
    return transformers.ResNetForImageClassification(config).eval()


VIT_PROCESSOR = {"size": {"height": 32, "width": 32}}


@pytest.fixture
def saved(tmp_path):
    def save(model, processor, **options):
        torch.manual_seed(0)
        folder = tmp_path / "model"
        model.save_pretrained(folder, **options)
        processor.save_pretrained(folder)
        return folder

    return save


@pytest.mark.parametrize(
    ("processor", "options", "rule"),
    [
        (
            "ViTImageProcessor",
            {"size": {"height": 48, "width": 40}},
            "squash to 48x40 (bilinear), centre crop 48x40",
        ),
        (
            "ConvNextImageProcessor",
            {"size": {"shortest_edge": 64}, "crop_pct": 0.875},
            "shorter side to 73 (bicubic)",
        ),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}, "squash to 384x384"),
        ("LevitImageProcessor", {}, "shorter side to 256 (bicubic), centre crop 224x224"),
        ("EfficientNetImageProcessor", {}, "squash to 346x346"),
        (
            "EfficientNetImageProcessor",
            {"rescale_offset": True, "rescale_factor": 1 / 127.5},
            "squash to 346x346",
        ),
        (
            "MobileViTImageProcessor",
            {"size": {"shortest_edge": 288}},
            "shorter side to 288 (bicubic), centre crop 256x256",
        ),
        ("PoolFormerImageProcessor", {}, "shorter side to 248"),
        ("CLIPImageProcessor", {}, "shorter side to 224"),
        ("BitImageProcessor", {"do_normalize": False}, "shorter side to 224"),
    ],
)
def test_a_local_folder_gives_the_logits_that_its_own_processor_gives(
    saved, photographs, processor, options, rule
):
    model, theirs = small_resnet(), getattr(transformers, processor)(**options)
    classifier = load_model(f"hf:{saved(model, theirs)}", device="cpu")
    assert rule in classifier.preprocessing.describe()
    photograph = Image.open(photographs / "cat" / "chelsea.jpg").convert("RGB")
    ours = classifier(torch.from_numpy(resize_and_crop(photograph, classifier.preprocessing))[None])
    with torch.no_grad():
        expected = model(**theirs(photograph, return_tensors="pt")).logits
    assert torch.allclose(ours, expected, atol=2e-3 * float(expected.abs().max()))


PROCESSORS = {
    "CLIPImageProcessor": {},
    "ViTImageProcessor": {},
    "DeiTImageProcessor": {},
    "ConvNextImageProcessor": {"size": {"shortest_edge": 224}, "crop_pct": 0.95},
    "BitImageProcessor": {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}},
    "MobileViTImageProcessor": {"size": {"shortest_edge": 288}, "crop_size": {"height": 256, "width": 256}},
    "MobileNetV2ImageProcessor": {},
    "PoolFormerImageProcessor": {"crop_pct": 0.95},
    "LevitImageProcessor": {},
}


class Config:
    model_type, image_size = "resnet", 224


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_the_processors_own_for_any_shape_of_picture(name):
    theirs = getattr(transformers, name)(**PROCESSORS[name])
    preprocessing, flips = preprocessing_of(theirs, Config, name=name)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (preprocessing.mean, preprocessing.std))
    grid = np.random.default_rng(7).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    for size in [(500, 375), (375, 500), (333, 251), (64, 48), (259, 256), (900, 256)]:
        picture = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
        ours = torch.from_numpy(resize_and_crop(picture, preprocessing)).float()
        wanted = theirs(picture, return_tensors="pt")["pixel_values"][0]
        levels = 255 * ((wanted.flip(0) if flips else wanted) * std + mean)
        assert (ours - levels).abs().mean() < 0.5, size
        assert (ours - levels).abs().max() < 5, size


class Padded:
    """A processor that does nearly what its settings say."""

    def __init__(self, change):
        self._theirs, self._change = transformers.CLIPImageProcessor(), change

    def to_dict(self):
        return self._theirs.to_dict()

    def __call__(self, picture, **options):
        made = self._theirs(picture, **options)
        made["pixel_values"] = self._change(made["pixel_values"], picture)
        return made


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels, _: pixels.roll(1, dims=-1),
        lambda pixels, _: pixels.flip(-1),
        lambda pixels, picture: pixels.roll(1, dims=-2) if picture.height > picture.width else pixels,
        lambda pixels, picture: pixels[..., :200] if picture.width < 100 else pixels,
        lambda pixels, picture: pixels * 1.1 if picture.width == 1000 else pixels,
    ],
    ids=["shifted", "mirrored", "portrait shifted", "small ones narrower", "panorama brighter"],
)
def test_a_processor_whose_pixels_cannot_be_had_is_refused(change):
    with pytest.raises(
        RobustcheckError, match=r"of net can't be reproduced to the pixel: .*input_size=\(224, 224\)"
    ):
        preprocessing_of(Padded(change), Config, name="net")


@pytest.mark.parametrize("key", ["image_mean", "image_std"])
@pytest.mark.parametrize(
    "value", [[0.5, 0.5], [0.5] * 4, [], "0.5, 0.5", [0.5, math.nan, 0.5], {"red": 0.5}, [[0.5]] * 3]
)
def test_mean_and_std_are_three_numbers(key, value):
    processor = transformers.CLIPImageProcessor()
    setattr(processor, key, value)
    with pytest.raises(
        RobustcheckError, match=rf"{key} of the processor of net must be a finite number, or three"
    ):
        preprocessing_of(processor, Config, name="net")


def test_a_network_of_timm_in_a_folder_keeps_timms_rule(tmp_path, photographs):
    timm = pytest.importorskip("timm")
    rule = {
        "input_size": [3, 160, 160],
        "mean": [0.4] * 3,
        "std": [0.3] * 3,
        "crop_pct": 0.9,
        "interpolation": "bicubic",
    }
    config = transformers.TimmWrapperConfig(
        architecture="test_resnet", pretrained_cfg={**rule, "num_classes": 7}, num_labels=7
    )
    model = transformers.TimmWrapperForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "model")
    classifier = load_model(f"hf:{tmp_path}/model", device="cpu")
    photograph = Image.open(photographs / "cat" / "chelsea.jpg").convert("RGB")
    transform = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=rule))
    ours = classifier(torch.from_numpy(resize_and_crop(photograph, classifier.preprocessing))[None])
    with torch.no_grad():
        assert torch.allclose(ours, model(transform(photograph)[None]).logits, atol=1e-5)


def test_class_names_come_from_the_configuration(saved):
    named = small_resnet(id2label={0: "cat", 1: "dog", 2: "cow"})
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 64})
    assert load_model(f"hf:{saved(named, processor)}", device="cpu").class_names == ("cat", "dog", "cow")
    assert load_model(f"hf:{saved(small_resnet(), processor)}", device="cpu").class_names is None


def test_weights_of_a_file_take_the_place_of_the_folders(saved, tmp_path):
    folder = saved(small_vit(), transformers.ViTImageProcessor(**VIT_PROCESSOR))
    other = small_vit(num_labels=7)
    torch.save({"state_dict": other.state_dict()}, tmp_path / "other.pt")
    classifier = load_model(f"hf:{folder}", weights=tmp_path / "other.pt", device="cpu")
    assert classifier.probe() == 7
    assert classifier.module.classifier.weight.equal(other.classifier.weight)


def test_a_network_without_a_trained_head_is_refused(saved, tmp_path):
    headless = transformers.ViTModel(small_vit().config)
    folder = saved(headless, transformers.ViTImageProcessor(**VIT_PROCESSOR))
    with pytest.raises(
        RobustcheckError, match=r"has no weights for classifier.bias, classifier.weight.*at random"
    ):
        load_model(f"hf:{folder}", device="cpu")


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def test_pickled_weights_are_read_and_code_in_them_is_not_run(saved, tmp_path):
    model = small_vit()
    folder = saved(model, transformers.ViTImageProcessor(**VIT_PROCESSOR))
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    classifier = load_model(f"hf:{folder}", device="cpu")
    assert classifier.module.classifier.weight.equal(model.classifier.weight)
    torch.save({**model.state_dict(), "hook": Payload(tmp_path / "it-ran")}, folder / "pytorch_model.bin")
    with pytest.raises(RobustcheckError, match=r"pytorch_model.bin holds more than weights: .*mkdir"):
        load_model(f"hf:{folder}", device="cpu")
    assert not (tmp_path / "it-ran").exists()


def test_code_in_a_repository_is_not_run(saved, tmp_path):
    folder = saved(small_vit(), transformers.ViTImageProcessor(**VIT_PROCESSOR))
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Config", "AutoModelForImageClassification": "mine.Net"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"import os; os.mkdir({str(tmp_path / 'it-ran')!r})")
    with pytest.raises(
        RobustcheckError, match=r"needs Python code in its repository.*package.module:callable"
    ):
        load_model(f"hf:{folder}", device="cpu")
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("missing", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_says_what_it_is_to_hold(saved, missing):
    folder = saved(small_vit(), transformers.ViTImageProcessor(**VIT_PROCESSOR))
    (folder / missing).unlink()
    with pytest.raises(
        RobustcheckError, match=r"can't be loaded from that folder .*config.json of an image classifier"
    ):
        load_model(f"hf:{folder}", device="cpu")


def test_a_processor_that_cannot_be_followed_is_refused(saved):
    padded = transformers.BitImageProcessor(
        size={"shortest_edge": 100}, crop_size={"height": 224, "width": 224}
    )
    with pytest.raises(
        RobustcheckError, match=r"can't be reproduced to the pixel: .*'shortest_edge': 100.*Wrap the network"
    ):
        load_model(f"hf:{saved(small_resnet(), padded)}", device="cpu")


def test_a_processor_that_keeps_the_size_of_images_needs_the_size_of_the_network():
    theirs = transformers.ViTImageProcessor(do_resize=False)
    with pytest.raises(RobustcheckError, match=r"takes images in their own size, .*has no image_size. Wrap"):
        preprocessing_of(theirs, object(), name="net")
    assert preprocessing_of(theirs, Config, name="net")[0].input_size == (224, 224)


def test_a_hub_that_cannot_be_reached_says_how_to_bring_the_model(monkeypatch):
    class Unreached(OSError):
        pass

    def refuse(*_args, **_options):
        raise Unreached("We couldn't connect to the hub") from ConnectionError("no route to host")

    monkeypatch.setattr(transformers.PretrainedConfig, "get_config_dict", refuse)
    with pytest.raises(
        RobustcheckError, match=r"hf:org/net could not be .*\(no route to host\).* hf download org/net"
    ):
        load_model("hf:org/net", device="cpu")


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        RobustcheckError, match=r"needs transformers, .* pip install 'pytest-robustcheck\[hf\]'"
    ):
        load_model("hf:org/net", device="cpu")


def test_a_folder_without_the_prefix_is_told_it(saved, monkeypatch):
    folder = saved(small_vit(), transformers.ViTImageProcessor(**VIT_PROCESSOR))
    with pytest.raises(RobustcheckError, match=f"is a folder of Hugging Face's kind: write hf:{folder}"):
        load_model(str(folder))
    monkeypatch.chdir(folder.parent)
    with pytest.raises(RobustcheckError, match=r"write hf:model"):
        load_model("model")


def test_gradients_reach_the_pixels(saved):
    folder = saved(small_vit(), transformers.ViTImageProcessor(**VIT_PROCESSOR))
    classifier = load_model(f"hf:{folder}", device="cpu")
    pixels = torch.randint(0, 256, (2, 3, 32, 32)).float().requires_grad_()
    classifier.logits(pixels).logsumexp(1).sum().backward()
    assert pixels.grad.abs().amax(dim=(1, 2, 3)).min() > 0
    assert isinstance(classifier.module, nn.Module)
