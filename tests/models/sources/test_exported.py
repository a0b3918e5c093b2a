from __future__ import annotations

import json
import logging
import os
import pickle
import warnings
import zipfile
from functools import partial

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
    ours = load_model(f"program:{program}@resnet50", device="cpu", trust_programs=True)
    theirs = Classifier.from_preprocessing(net, ours.preprocessing, device="cpu")
    pixels = torch.randint(0, 256, (count, 3, 224, 224)).float()
    one, other = pixels.clone().requires_grad_(), pixels.clone().requires_grad_()
    assert torch.allclose(ours.logits(one), theirs.logits(other), atol=1e-5)
    ours.logits(one)[:, 1].sum().backward()
    theirs.logits(other)[:, 1].sum().backward()
    assert torch.allclose(one.grad, other.grad, atol=1e-7)
    assert other.grad.abs().max() > 0


def test_its_pixels_are_those_of_the_model_after_the_at(program):
    load = partial(load_model, device="cpu", trust_programs=True)
    assert load(f"program:{program}@resnet50").preprocessing.resize == 232
    lite = load(f"program:{program}@sample")
    assert lite.preprocessing.std == (0.5, 0.5, 0.5)
    timms = load(f"program:{program}@timm:resnet18.a1_in1k")
    assert timms.preprocessing.mean == (0.485, 0.456, 0.406)
    assert timms.origin == "pixels as timm:resnet18.a1_in1k"


def test_one_of_your_own_normalisation_is_wrapped(net, program):
    classifier = Classifier(
        load_program(program, trust=True), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=224, device="cpu"
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
            load_model(f"program:{path}@resnet50", device="cpu", trust_programs=True)


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
    with pytest.raises(RobustcheckError, match="is not a program: it is truncated or damaged"):
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
    if "sample_inputs" in where:
        load_program(path)  # which are never read
    else:
        with pytest.raises(
            RobustcheckError, match=rf"can't be checked, .*it holds the entry '{where}'.* trust=True"
        ):
            load_program(path)
    assert not marker.exists()


def test_compiled_code_and_doubled_entries_are_refused(net, tmp_path):
    path = exported(net, tmp_path / "net.pt2")
    rewritten(path, lambda entries: {**entries, "net/data/aotinductor/model/net.so": b"\x7fELF"})
    with pytest.raises(RobustcheckError, match=r"holds compiled code .*torch.export.save"):
        load_program(path)
    path = exported(net, tmp_path / "net.pt2")
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("net/archive_format", b"pt2")
    with pytest.raises(RobustcheckError, match="two entries of one name"):
        load_program(path)


def test_torchscript_needs_trust(net, tmp_path):
    path = scripted(net, tmp_path / "net.pt")
    for load in (partial(load_program, path), partial(load_model, f"program:{path}@resnet50", device="cpu")):
        with pytest.raises(
            RobustcheckError, match=r"is TorchScript, .*--robustcheck-trust-programs, or load_program"
        ):
            load()


def test_trust_is_an_option_and_an_ini_key(pytester, net):
    scripted(net, pytester.path / "net.pt")
    pytester.makepyfile(
        "def test_it(robustcheck_classifier):\n    assert robustcheck_classifier.probe() == 5"
    )
    program = "--robustcheck-model=program:net.pt@resnet50"
    result = pytester.runpytest(program)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["robustcheck: net.pt is TorchScript*"])
    pytester.runpytest(program, "--robustcheck-trust-programs").assert_outcomes(passed=1)
    pytester.makeini("[pytest]\nrobustcheck_trust_programs = true")
    pytester.runpytest(program).assert_outcomes(passed=1)


class Many(Net):
    """Results of several kinds, sizes that are computed, constants, and operators that write into their argument."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.rand(4), persistent=False)
        self.add_module("block1-0", nn.Linear(4, 4))  # as torchvision's RegNets have it

    def forward(self, x):
        y = self.norm(self.stem(x)).relu_()
        y = y.reshape(x.shape[0], -1, 55 * 55).mean(2) * self.scale + torch.tensor([1.0, 2.0, 3.0, 4.0])
        y = self.get_submodule("block1-0")(y)
        return {"hidden": [y, (y * 2, y.sum())], "logits": self.head(y), "size": 2 * x.shape[0] + 1}


def test_what_programs_hold_survives_the_check(tmp_path):
    torch.manual_seed(0)
    net = Many().eval()
    path = exported(net, tmp_path / "net.pt2")
    rewritten(path, lambda entries: {**entries, "net/extra/notes.txt": b"trained in May"})
    program = load_program(path)
    images = torch.rand(3, 3, 224, 224)
    assert program(images).equal(net(images)["logits"])
    assert load_program(path, trust=True)(images).equal(net(images)["logits"])


def test_a_class_of_results_becomes_a_dictionary(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=5)
    net = transformers.AutoModelForImageClassification.from_config(config).eval()
    program = load_program(exported(net, tmp_path / "net.pt2", any_batch=False))
    assert program(IMAGE).allclose(net(IMAGE).logits)


@pytest.mark.parametrize("lost", [30, 100, 200])
def test_an_archive_that_was_cut_off_is_not_taken_for_weights(net, tmp_path, lost):
    path = exported(net, tmp_path / "net.pt2")
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(RobustcheckError, match="is not a program: it is truncated or damaged"):
        load_program(path)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda graph: graph["graph_module"]["graph"]["nodes"].reverse(), "Node.*target="),
        (lambda graph: graph["schema_version"].update(major=99), "schema version"),
    ],
)
def test_a_graph_that_torch_refuses_is_one_line_with_its_cause(net, tmp_path, caplog, change, cause):
    path = exported(net, tmp_path / "net.pt2")
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in entries if name.endswith("models/model.json"))
    graph = json.loads(entries[name])
    change(graph)
    entries[name] = json.dumps(graph).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in entries.items():
            archive.writestr(each, content)
    with pytest.raises(
        RobustcheckError, match=f"can't be loaded by torch .*: SerializeError: .*{cause}"
    ) as raised:
        load_program(path)
    assert "\n" not in str(raised.value)
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
