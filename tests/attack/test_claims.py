"""Claims and views are text that anyone may have written: none runs code, opens a file of its choice or writes one."""

from __future__ import annotations

import sys

import pytest

from robustcheck import RobustcheckError, evaluate
from robustcheck.claims import parse_claim, read_claims
from robustcheck.evaluation import Evaluation
from robustcheck.notation import View, X, parse
from robustcheck.options.types import transfer_models
from robustcheck.records.csv import dumps, loads

MODELS = [
    "os:abort",
    "evil:net",
    "program:net.pt@resnet50",
    "hf:owner/repository",
    "hf:/etc",
    "overfeat-fast",
    "../evil",
    "/etc/passwd",
    "timm:/etc/passwd",
    "timm:hf-hub:a/b",
    "evil:net:more",
    ":abort",
    "os.path:join",
    "C:\\evil",
    "résnet",
    "a" * 300,
]
"""What a view may not name."""


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module in the current folder, on Python's path, that leaves a trace when it is imported."""
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('it-ran').touch()\ndef net(): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    assert not (tmp_path / "it-ran").exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize("model", MODELS)
def test_text_names_no_model_by_code_or_path(evil, model):
    for text in (f"Adv_1[from={model}]", f"JPG(PGD_2[from={model}])", f"Worst(Adv_1; Adv_2[from={model}])"):
        with pytest.raises(RobustcheckError, match=r"from must be a torchvision name, timm:NAME, sample"):
            parse(text)
        with pytest.raises(RobustcheckError, match="column"):
            parse_claim(f"accuracy({text}) <= 0.5")


@pytest.mark.parametrize("model", MODELS[:5])
def test_claim_file_names_no_model_by_code_or_path(evil, model):
    file = evil / "robustcheck.toml"
    file.write_text(f'[claims]\na = "accuracy(Adv_1[from={model}]) <= 0.5"\n')
    with pytest.raises(RobustcheckError, match=r"robustcheck.toml:2: .*--robustcheck-transfer declares"):
        read_claims(file)


@pytest.mark.parametrize("model", MODELS[:5])
def test_views_that_no_parser_has_read_load_none_either(evil, toy_classifier, toy_images, model):
    """A view that is made by hand, or sent by another process."""
    view = View("Adv", 1, (("from", model),), (X,))
    reason = Evaluation(toy_classifier, toy_images).unsupported_reason(view)
    assert "--robustcheck-transfer declares" in str(reason)


@pytest.mark.parametrize("model", MODELS[:5])
def test_records_name_no_model_by_code_or_path(evil, toy_classifier, toy_images, model):
    text = dumps(evaluate(toy_classifier, toy_images, ["Adv_1"]))
    with pytest.raises(RobustcheckError, match=r"records: from must be a torchvision name"):
        loads(text.replace("Adv_1", f"Adv_1[from={model}]"))


def test_run_on_a_hostile_claim_file_ends_in_an_error(pytester):
    (pytester.path / "evil.py").write_text("import os\nos.abort()\n")
    (pytester.path / "robustcheck.toml").write_text('[claims]\na = "accuracy(Adv_1[from=evil:net]) <= 0.5"\n')
    result = pytester.runpytest("robustcheck.toml", "-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*robustcheck.toml:2: claim 'a': from must be*"])


FILES = {
    "art:FastGradientMethod_8": "summary_writer",
    "art:ProjectedGradientDescent_8": "summary_writer",
    "foolbox:L2BrendelBethgeAttack_8": "tensorboard",
    "foolbox:LinfinityBrendelBethgeAttack_8": "tensorboard",
    "autoattack_8": "log_path",
}


@pytest.mark.parametrize("value", ["out", "true"])
@pytest.mark.parametrize("view", FILES)
@pytest.mark.filterwarnings("ignore")  # the libraries' own
def test_attack_of_a_library_writes_no_file(tmp_path, monkeypatch, toy_classifier, toy_images, view, value):
    for package in ("art", "foolbox", "torchattacks", "pyautoattack"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RobustcheckError, match=FILES[view]):
        evaluate(toy_classifier, toy_images, [f"{view}[{FILES[view]}={value}]"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("typed", "models"),
    [
        ("resnet50", {"resnet50": "resnet50"}),
        ("timm:resnet18,b=sample", {"timm:resnet18": "timm:resnet18", "b": "sample"}),
        ("sample", {"sample": "sample"}),
        ("my.module:net", {"transfer": "my.module:net"}),
        ("a=my.module:net,b=hf:x/y,c=program:n.pt@resnet50", {"a": "my.module:net", "b": "hf:x/y", "c": "program:n.pt@resnet50"}),
        ("hf:/data/a,b", {"transfer": "hf:/data/a,b"}),
    ],
)  # fmt: skip
def test_person_declares_models_by_any_spec(typed, models):
    assert transfer_models(typed) == models
    for name in models:
        assert parse(f"Adv_1[from={name}]").options["from"] == (name,)


@pytest.mark.parametrize("typed", ["a=x:y,a=z:w", "timm=x:y", "sample=evil:net", "a= ", "a:b,transfer=c:d"])
def test_names_of_models_are_unambiguous(typed):
    with pytest.raises(ValueError, match=r"must be \[NAME=\]SPEC"):
        transfer_models(typed)
