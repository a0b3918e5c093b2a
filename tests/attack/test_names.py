"""Texts of others in messages: nothing reaches a terminal or a CI log but printable text that commands nothing."""

from __future__ import annotations

import ast
import builtins
import json
import os
import struct
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import robustcheck
from robustcheck import RobustcheckError, RobustnessWarning
from robustcheck.__main__ import main
from robustcheck.errors import ClaimFailed
from robustcheck.images import open_images
from robustcheck.models import Preprocessing
from robustcheck.models.checkpoints.checkpoint import read_checkpoint
from robustcheck.models.checkpoints.weights import load_weights
from robustcheck.notation import parse
from robustcheck.records.baseline import Baseline
from robustcheck.text import printable, printable_lines
from tests.attack.hostile import IN_FILE_NAMES, LONE_SURROGATE, TEXTS, faults

PACKAGE = Path(robustcheck.__file__).parent
SIZE = Preprocessing(input_size=(16, 16), resize=16, mean=(0.5,) * 3, std=(0.5,) * 3)
hostile = pytest.mark.parametrize("text", [*TEXTS.values(), LONE_SURROGATE], ids=[*TEXTS, "lone surrogate"])
in_file_names = pytest.mark.parametrize("text", IN_FILE_NAMES.values(), ids=IN_FILE_NAMES)


def message_of(act) -> str:
    """The error or the warnings of a call, as text that can be encoded."""
    told = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            act()
        except RobustcheckError as error:
            told.append(error)
    shown = "\n".join(map(str, [*told, *(each.message for each in warned)]))
    shown.encode("utf-8")  # raises for a lone surrogate
    return shown


@hostile
def test_every_text_is_made_printable(text):
    assert not faults(printable(text))
    assert "\n" not in printable(text)
    assert not faults(printable_lines(f"one\n{text}\n  {text}"))
    assert printable(text).encode("utf-8")
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("text", ["résumé 日本 👩‍💻.png", "a: b :: c", "#[x] ## y", "a\u00a0b", "C++", ""])
def test_harmless_text_stays_as_it_is(text):
    assert printable(text) == text


def test_endless_line_is_cut():
    assert len(printable("a" * 10**6)) < 6000


@hostile
def test_messages_of_all_our_errors_are_printable(text):
    def subclasses(kind):
        return [kind, *(each for own in kind.__subclasses__() for each in subclasses(own))]

    for made in (
        *(kind for kind in subclasses(RobustcheckError) if "__init__" not in vars(kind)),
        RobustcheckError,
        RobustnessWarning,
    ):
        assert not faults(str(made(f"got {text}: do this\n{text}"))), made
    assert not faults(str(ClaimFailed(f"{text}\n{text}", None)))


# ------------------------------------------------------------------------------------------- by source


@hostile
def test_checkpoint_keys(tmp_path, text):
    path = tmp_path / "net.pt"
    for state in ({text: torch.zeros(3)}, {"a": {text: torch.zeros(2)}, text: {"b": torch.zeros(2)}}):
        torch.save(state, path)
        told = message_of(lambda: load_weights(torch.nn.Linear(2, 2), read_checkpoint(path), name=text))
        assert told
        assert not faults(told)


@hostile
def test_names_of_data_types_in_safetensors(tmp_path, text):
    header = json.dumps({text: {"dtype": text, "shape": [1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    told = message_of(lambda: load_weights(torch.nn.Linear(2, 2), read_checkpoint(path), name="net"))
    assert told
    assert not faults(told)


@hostile
def test_headers_and_cells_of_tables(tmp_path, text):
    for content in (f"{text},label\na.png,1\n", f"path,label\n{text},1\n", f"path,label\na.png,{text}\n"):
        table = tmp_path / "list.csv"
        table.write_text(content, "utf-8", "surrogateescape", newline="")
        told = message_of(lambda table=table: list(open_images(str(table), size=SIZE)))
        assert not faults(told)


@in_file_names
def test_names_of_folders_and_files(tmp_path, text):
    for name, content in ((f"{text}.png", b"no image"), ("list.txt", b"text"), (f"{text}.txt", b"text")):
        folder = tmp_path / f"set {len(list(tmp_path.iterdir()))}" / text
        folder.mkdir(parents=True)
        (folder / name).write_bytes(content)
        told = message_of(lambda folder=folder: list(open_images(str(folder.parent), size=SIZE)))
        assert told
        assert not faults(told)


@hostile
def test_names_of_models_images_and_baselines(tmp_path, text):
    for act in (
        lambda: robustcheck.load_model(text),
        lambda: robustcheck.load_model(f"timm:{text}"),
        lambda: robustcheck.load_model(f"hf:./{text}"),
        lambda: open_images(text, size=SIZE),
        lambda: Baseline.read(text, tmp_path),
    ):
        told = message_of(act)
        assert told
        assert not faults(told)


@hostile
def test_values_of_hugging_face_configurations(tmp_path, text):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": text, "architectures": [text]}))
    told = message_of(lambda: robustcheck.load_model(f"hf:{tmp_path}"))
    assert told
    assert not faults(told)


def test_store_list(tmp_path, capsys):
    for at, text in enumerate(TEXTS.values()):
        config = tmp_path / f"{at:032}"
        (config / "ab").mkdir(parents=True)
        (config / "study.json").write_text(json.dumps({"model": text, "records": text, "seed": text}))
        (config / "ab" / "x-1-y.parquet").write_bytes(b"")
    assert main(["store", "list", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("model") == len(TEXTS)
    assert not faults(shown)
    assert main(["store", "verify", str(tmp_path)]) == 1
    assert not faults(capsys.readouterr().out)


# ---------------------------------------------------------------------------------------- a whole run

TEST = """
import numpy as np, pytest, torch, robustcheck, warnings
from tests.attack.hostile import TEXTS

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(14, 768, generator=torch.Generator().manual_seed(0)))

    def forward(self, images):
        return images.flatten(1) @ self.weight.T / 28

@pytest.fixture(scope="session")
def robustcheck_model():
    return robustcheck.Classifier(Net().eval(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16,
                                  name=" ".join(TEXTS.values()), device="cpu")

def test_claims(robustness):
    robustness.check("accuracy(x) >= 0.9999")

def test_estimates(robustness):
    assert robustness["Adv_1"].accuracy >= 0.9999
"""


@pytest.mark.slow
def test_run_on_hostile_names(repository, monkeypatch):
    """Class folders, files and the model have hostile names; the claims fail, so that the worst images are shown."""
    for at, text in enumerate(IN_FILE_NAMES.values()):
        folder = repository.path / "set" / f"{text}"
        folder.mkdir(parents=True)
        pixels = np.random.default_rng(at).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{text}.png", "PNG")
    repository.makepyfile(test_hostile=TEST)
    (repository.path / "conftest.py").unlink()
    summary = repository.path / "summary.md"
    environment = {
        **os.environ,
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "PYTHONPATH": f"{PACKAGE.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "PYTHONIOENCODING": "utf-8",
    }
    options = [
        "--robustcheck-images=set",
        "--junitxml=junit.xml",
        "--robustcheck-artifacts=evidence",
        "-rA",
        "-v",
    ]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-Wdefault", *options],
        cwd=repository.path,
        env=environment,
        capture_output=True,
        check=False,
    )
    shown = result.stdout.decode("utf-8")
    assert result.returncode == 1, shown
    commands = [line for line in shown.splitlines() if line.startswith("::error file=test_hostile.py,line=")]
    assert len(commands) == 2
    assert "worst images" in shown
    for line in commands:
        shown = shown.replace(line, "")
    assert not faults(shown)
    assert not faults(result.stderr.decode("utf-8"))
    assert summary.read_text("utf-8")
    assert not faults(summary.read_text("utf-8"))
    for readme in (repository.path / "evidence").rglob("README.txt"):
        assert not faults(readme.read_text("utf-8"))
    suite = ET.parse(repository.path / "junit.xml").find("testsuite/properties")
    for each in suite.iter("property"):
        assert not faults(each.get("value")), each.get("name")


# ------------------------------------------------------------------------------------- no way around it

SHOWN = {"printable", "printable_lines"}
"""What makes a text printable."""
SINKS = {"fail", "skip", "UsageError", "line", "CollectError", "FixtureError"}
"""Calls that show a text: of pytest and its terminal."""
SAFE = {
    ("session/reporter.py", "command"),  # a workflow command of ours, whose parts are escaped
    ("session/reporter.py", "painted"),  # a line that was made printable before a word of it got a colour
    ("options/page.py", "render()"),
    ("__main__.py", "render()"),  # the page of options
    ("__main__.py", "json.dumps(of_toml(), indent=2) + '\\n'"),  # a schema of ours
    ("plugin.py", "problem"),  # of an error of ours
}
HARMLESS = {"options.command", "written", "classes", "len(records)", "self._run.why_untimed", "error"}
"""What stands in such a text: numbers, words of ours, errors of ours."""
OURS = {"RobustcheckError", "RobustnessWarning", "ClaimFailed"}


OTHERS = {"ArgumentTypeError", "NotRegularFile", "UnusableImage"}
"""Errors of which others are made, without their being caught by name."""


def trees():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text("utf-8"))


def is_printable(node, file) -> bool:
    """Whether an expression is a constant, made printable, or the message of an error of ours."""
    text = ast.unparse(node)
    if isinstance(node, ast.Constant) or (file, text) in SAFE or text in {"str(error)", "str(refusal)"}:
        return True
    if isinstance(node, ast.JoinedStr):
        values = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        return all(is_printable(value, file) or ast.unparse(value) in HARMLESS for value in values)
    return isinstance(node, ast.Call) and ast.unparse(node.func) in SHOWN


def name_of(call):
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_no_text_is_shown_that_is_not_made_printable():
    guilty = []
    for file, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            target = ast.unparse(node.func)
            shows = name_of(node) in SINKS or target in {"print", "sys.stdout.write", "sys.stderr.write"}
            if shows and not is_printable(node.args[0], file):
                guilty.append(f"{file}:{node.lineno}: {ast.unparse(node)}")
    assert not guilty, "\n".join(guilty)


FREE_OF_NAMES = {
    "Records",
    "View",
    "Claim",
    "Benchmark",
    "Speedup",
    "Comparable",
    "ViewEstimates",
    "Change",
}
"""Classes whose representation holds numbers and views alone; a view's text is printable."""


def test_every_representation_is_printable():
    """Pytest shows those of a failing test's fixtures."""
    found = {
        kind.name: node
        for _, tree in trees()
        for kind in ast.walk(tree)
        if isinstance(kind, ast.ClassDef)
        for node in kind.body
        if isinstance(node, ast.FunctionDef) and node.name == "__repr__"
    }
    guilty = {name for name, node in found.items() if not is_printable(node.body[-1].value, "")}
    assert guilty == FREE_OF_NAMES


@hostile
def test_options_in_a_view_are_printable(text):
    views = []
    told = message_of(lambda: views.append(parse(f"foolbox:LinfPGD_8[steps=a{text}b]")))
    assert not faults(told)
    assert all(str(view).isprintable() for view in views)


def test_every_warning_is_of_the_kind_that_makes_its_message_printable():
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
                assert "RobustnessWarning" in map(ast.unparse, node.args), f"{file}:{node.lineno}"


def test_every_error_of_ours_makes_its_message_printable():
    """Errors are of our kinds, Python's own, or caught by name in the package, where others are made of them."""
    nodes = [(file, node) for file, tree in trees() for node in ast.walk(tree)]
    bases = {
        node.name: {*map(ast.unparse, node.bases)} for _, node in nodes if isinstance(node, ast.ClassDef)
    }
    handlers = [node.type for _, node in nodes if isinstance(node, ast.ExceptHandler) and node.type]
    caught = {
        ast.unparse(name).rpartition(".")[2]
        for kind in handlers
        for name in (kind.elts if isinstance(kind, ast.Tuple) else [kind])
    }

    def is_known(name):
        known = OURS | caught | SINKS | OTHERS | ({*dir(builtins)} - {"Exception"})
        return name in known or any(map(is_known, bases.get(name, set()) - {"Exception"}))

    for file, node in nodes:
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = name_of(node.exc)
            assert is_known(name) or name[0].islower() or name.startswith("_"), (
                f"{file}:{node.lineno}: {name}"
            )
