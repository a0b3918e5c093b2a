from __future__ import annotations

import sys

import pytest
import torch

from robustcheck import RobustcheckError, RobustnessWarning
from robustcheck.models import as_classifier, load_model

SOURCE = """
import torch
from torch import nn
import robustcheck.models

CONFIG = {"input_size": (3, 16, 16), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "crop_pct": 1.0}
NUMBER = 3

def bare():
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 4))

def configured():
    net = bare()
    net.default_cfg = CONFIG
    return net

class Builders:
    wrapped = staticmethod(lambda: wrapped())

def wrapped():
    return robustcheck.models.Classifier(
        bare(), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), input_size=16, name="mine", device="cpu"
    )

def in_train_mode():
    net = nn.Sequential(nn.Dropout(), nn.Flatten(), nn.Linear(768, 4)).train()
    net.pretrained_cfg = CONFIG
    return net

def lazily():
    import side_module
    return side_module.make()

def wants(argument): ...
def fails(): raise KeyError("no such layer")
def nothing(): ...

network = configured()
instance = wrapped()
instance.fingerprint
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text(SOURCE)
    (tmp_path / "side_module.py").write_text("from mynets import wrapped as make")
    (tmp_path / "needs.py").write_text("import a_package_that_is_not_there")
    (tmp_path / "broken.py").write_text("def f(:")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "inner.py").write_text("from mynets import wrapped")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path), set(sys.modules)
    yield
    assert sys.path == before[0]
    for name in set(sys.modules) - before[1]:
        if name in {"mynets", "side_module", "needs", "broken", "pkg", "pkg.inner"}:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("mynets:configured", "mynets:configured"),
        ("mynets:network", "mynets:network"),
        ("mynets:wrapped", "mine"),
        ("mynets:instance", "mine"),
        ("mynets:Builders.wrapped", "mine"),
        ("mynets:lazily", "mine"),
        ("pkg.inner:wrapped", "mine"),
    ],
)
def test_what_the_users_code_builds_becomes_a_classifier(spec, name):
    classifier = load_model(spec, device="cpu")
    assert classifier.name == name
    assert classifier.input_size == (16, 16)
    assert classifier.probe() == 4


def test_a_network_that_does_not_say_how_it_is_normalised_gets_the_lines_to_write():
    with pytest.raises(
        RobustcheckError, match="mynets:bare must be a network with its normalisation, got a Sequential"
    ) as caught:
        load_model("mynets:bare")
    assert "\n    robustcheck.Classifier(net, mean=(0.485, 0.456, 0.406), std=" in str(caught.value)


def test_a_network_in_train_mode_is_evaluated_in_eval_mode_and_that_is_said():
    classifier = load_model("mynets:in_train_mode", device="cpu")
    images = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    with pytest.warns(
        RobustnessWarning, match="mynets:in_train_mode is in train mode, which changes Dropout"
    ):
        found = classifier(images)
    with pytest.warns(RobustnessWarning, match="in train mode"):
        assert classifier(images).equal(found)


@pytest.mark.parametrize("device", ["cpu", "auto"])
@pytest.mark.parametrize("spec", ["mynets:configured", "mynets:wrapped", "mynets:instance"])
def test_weights_go_into_what_was_built(spec, tmp_path, device):
    theirs = load_model("mynets:configured", device="cpu").module
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    before = load_model(spec, device=device).fingerprint
    classifier = load_model(spec, weights="w.pt", device=device)
    assert classifier.module[1].weight.cpu().equal(theirs[1].weight.cpu())
    assert classifier.fingerprint != before


def test_weights_that_do_not_fit_are_refused(tmp_path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(
        RobustcheckError, match="another network than mynets:configured: 0 of its 1 tensors fit"
    ):
        load_model("mynets:configured", weights="w.pt")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "mynet:configured",
            r"model 'mynet:configured': no module 'mynet' in .* start pytest in the folder",
        ),
        ("mynets.deeper:f", "importing mynets.deeper failed|no module 'mynets.deeper'"),
        ("needs:f", "importing needs failed: No module named 'a_package_that_is_not_there'"),
        ("broken:f", "importing broken failed: SyntaxError"),
        ("mynets:configurd", "unknown callable 'configurd': did you mean 'configured'"),
        ("mynets:Builders.rapped", "unknown callable 'rapped'"),
        ("mynets:NUMBER", "must name a function, got int"),
        ("mynets:wants", "calling it without arguments failed: TypeError: wants\\(\\) missing 1 required"),
        ("mynets:fails", "calling it without arguments failed: KeyError: 'no such layer'"),
        (
            "mynets:nothing",
            "mynets:nothing must be an nn.Module or a robustcheck.Classifier, got NoneType",
        ),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(spec, message):
    with pytest.raises(RobustcheckError, match=message):
        load_model(spec)


def test_a_classifier_stays_where_it_is_unless_a_device_is_asked_for(monkeypatch):
    made = load_model("mynets:wrapped", device="cpu")
    assert as_classifier(made, name="a fixture") is made
    assert as_classifier(made, name="a fixture", device="cpu").fingerprint == made.fingerprint
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RobustcheckError, match="finds no CUDA device"):
        as_classifier(made, name="a fixture", device="cuda")
