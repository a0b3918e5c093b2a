from __future__ import annotations

import os
import pickle
import warnings
import zipfile

import pytest
import torch
from torch import nn

from robustcheck import RobustcheckError, load_program
from robustcheck.models import Classifier, load_model

IMAGE = torch.zeros(2, 3, 224, 224)


class Net(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, stride=4)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.norm(self.stem(x)).relu().mean((2, 3)))


class Named(Net):
    def forward(self, x):
        return {"hidden": x, "logits": super().forward(x)}


class Cut(Net):
    def forward(self, x):
        return self.head(self.norm(self.stem(x.detach())).relu().mean((2, 3)))


class Rounded(Net):
    def forward(self, x):
        return self.head(self.norm(self.stem(torch.round(x))).relu().mean((2, 3)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


def scripted(net, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(net).save(path)
    return path


def exported(net, path, *, any_batch=True):
    shapes = ({0: torch.export.Dim("batch")},) if any_batch else None
    torch.export.save(torch.export.export(net, (IMAGE,), dynamic_shapes=shapes), path)
    return path


@pytest.fixture(params=["script", "export", "export for batches of two"])
def program(request, net, tmp_path):
    if request.param == "script":
        return scripted(net, tmp_path / "net.pt")
    return exported(net, tmp_path / "net.pt2", any_batch=request.param == "export")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_program_gives_the_logits_and_gradients_of_its_network(net, program, count):
    ours = load_model(f"program:{program}@resnet50", device="cpu")
    theirs = Classifier.from_preprocessing(net, ours.preprocessing, device="cpu")
    pixels = torch.randint(0, 256, (count, 3, 224, 224)).float()
    one, other = pixels.clone().requires_grad_(), pixels.clone().requires_grad_()
    assert torch.allclose(ours.logits(one), theirs.logits(other), atol=1e-5)
    ours.logits(one)[:, 1].sum().backward()
    theirs.logits(other)[:, 1].sum().backward()
    assert torch.allclose(one.grad, other.grad, atol=1e-7)
    assert other.grad.abs().max() > 0


def test_its_pixels_are_those_of_the_model_after_the_at(program):
    assert load_model(f"program:{program}@resnet50", device="cpu").preprocessing.resize == 232
    lite = load_model(f"program:{program}@sample", device="cpu")
    assert lite.preprocessing.std == (0.5, 0.5, 0.5)
    timms = load_model(f"program:{program}@timm:resnet18.a1_in1k", device="cpu")
    assert timms.preprocessing.mean == (0.485, 0.456, 0.406)
    assert timms.origin == "pixels as timm:resnet18.a1_in1k"


def test_one_of_your_own_normalisation_is_wrapped(net, program):
    classifier = Classifier(
        load_program(program), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=224, device="cpu"
    )
    assert classifier.probe() == 5


def test_the_code_counts_in_the_fingerprint(net, tmp_path):
    named = Named().eval()
    named.load_state_dict(net.state_dict())
    one, other = (exported(module, tmp_path / name) for module, name in ((net, "a.pt2"), (named, "b.pt2")))
    prints = {load_model(f"program:{path}@resnet50", device="cpu").fingerprint for path in (one, one, other)}
    assert len(prints) == 2


@pytest.mark.parametrize("save", [scripted, exported])
def test_a_program_that_cuts_the_gradient_is_refused(tmp_path, save):
    for kind in (Cut, Rounded):
        path = save(kind().eval(), tmp_path / "net.pt")
        with pytest.raises(RobustcheckError, match=r"no gradient reaches the pixels through program:net.pt"):
            load_model(f"program:{path}@resnet50", device="cpu")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "program:{net}",
            r"lacks a preprocessing: .*program:.*net.pt@resnet50, or wrap it",
        ),
        ("program:{net}@resnet5O", "unknown model 'resnet5O': did you mean 'resnet50'"),
        ("program:{net}@timm:resnet1", "unknown timm model"),
        ("program:nowhere.pt@resnet50", "no program at nowhere.pt: no such file"),
        ("program:{net}@inception_v3", r"program:net.pt fails on images of 299x299|returned"),
        ("program:", "lacks a name after program:, as in program:net.pt2@resnet50"),
        ("{net}", r"is a file: if it holds weights, .*program:.*net.pt@NAME"),
    ],
)
def test_what_is_wrong_with_a_spec_is_said(tmp_path, spec, message):
    class Fixed(Net):
        def forward(self, x):
            return self.head(self.norm(self.stem(x)).relu().reshape(-1, 4, 55 * 55).mean(2))

    path = exported(Fixed().eval(), tmp_path / "net.pt")
    with pytest.raises(RobustcheckError, match=message):
        load_model(spec.format(net=path), device="cpu")


def test_weights_beside_a_program_are_refused(program, tmp_path):
    with pytest.raises(RobustcheckError, match="contains its weights: remove --robustcheck-weights"):
        load_model(f"program:{program}@resnet50", weights=tmp_path / "w.pt", device="cpu")


def test_a_checkpoint_is_no_program(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "net.pt")
    with pytest.raises(
        RobustcheckError, match=r"holds weights, not a program: use --robustcheck-model=NAME --robust"
    ):
        load_program(tmp_path / "net.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(RobustcheckError, match="is not a program, or is truncated"):
        load_program(tmp_path / "junk.pt")


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def rewritten(path, change):
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries = change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "where", ["data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/opaque_obj_0"]
)
def test_objects_in_an_exported_program_are_never_unpickled(net, tmp_path, where):
    marker = tmp_path / "it-ran"
    path = exported(net, tmp_path / "net.pt2")
    torch.save(Payload(marker), tmp_path / "payload")
    content = pickle.dumps(Payload(marker)) if "opaque" in where else (tmp_path / "payload").read_bytes()
    rewritten(path, lambda entries: {**entries, f"net/{where}": content})
    with pytest.raises(
        RobustcheckError, match=r"holds Python objects \(.*\), and code in a file is never run"
    ):
        load_program(path)
    assert not marker.exists()


def test_compiled_code_and_doubled_entries_are_refused(net, tmp_path):
    path = exported(net, tmp_path / "net.pt2")
    rewritten(path, lambda entries: {**entries, "net/data/aotinductor/model/net.so": b"\x7fELF"})
    with pytest.raises(RobustcheckError, match=r"holds compiled code .*torch.export.save"):
        load_program(path)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("net/archive_format", b"pt2")
    with pytest.raises(RobustcheckError, match="two entries of one name"):
        load_program(path)
