"""Inputs that are wrong, by kind: each is to end in one of our errors, with what was got and what to do.

`python -m tests.malformed.inputs` prints how many there are of each kind, and what became of them.
"""

from __future__ import annotations

import os
import pickle
import re
import struct
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import nn

from robustcheck import Classifier, ImageSet, Records, RobustcheckError, load_model, load_program
from robustcheck.claims import parse_claim, read_claims
from robustcheck.images import image_set_of, open_images
from robustcheck.models import Preprocessing
from robustcheck.models.checkpoints.weights import load_weights, read_checkpoint
from robustcheck.notation import X, parse
from robustcheck.options.table import OPTIONS
from robustcheck.records.baseline import Baseline, path_of
from robustcheck.records.csv import dumps, loads


@dataclass(frozen=True)
class Case:
    """One input, and what is done with it."""

    kind: str
    name: str
    act: Callable[[], Any]


@dataclass(frozen=True)
class Outcome:
    """What became of an input: the message of our error, or what happened instead."""

    case: Case
    message: str
    problem: str = ""


# What a message has to do beside naming what was got: say what to do, or what would be allowed.
_CURE = re.compile(
    r"\^\s*$|No such file|is UTF-8|such as|lacks its|it is to|must be|divide|add |download|copy|"
    r"give|allowed|use |write|name|check|leave out|repair|look at|save|did you mean|install|pass |put |run |export|expected"
    r"|is one of|is a |are |wrap|take|mend|letters|hold|needs|say which|compare|quote|number",
    re.IGNORECASE,
)
_OURS = re.compile(r"Traceback|File \".*robustcheck|object at 0x")


def outcome(case: Case) -> Outcome:
    """Run a case; a problem is an error of another kind, none at all, or a message that helps nobody."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = case.act()
    except RobustcheckError as error:
        message = str(error)
        helps = len(message) > 20 and _CURE.search(message) and not _OURS.search(message)
        return Outcome(case, message, "" if helps else f"a message that helps nobody: {message}")
    except Exception as error:  # the very thing that is looked for
        return Outcome(case, "", f"{type(error).__name__}: {error}"[:300])
    return Outcome(case, "", f"went through, and gave {result!r}"[:300])


def cases(folder: Path) -> Iterator[Case]:
    """Every case, its files being written to the folder."""
    for make in (
        models,
        weights,
        programs,
        images,
        labels,
        image_specs,
        views,
        claims,
        claim_files,
        records,
        baselines,
    ):
        inner = folder / make.__name__
        inner.mkdir()
        yield from make(inner)


class Net(nn.Module):
    """A network of two layers."""

    def __init__(self, classes: int = 4, width: int = 3) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, width, 3), nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(x).mean((2, 3)))


def classified(make: Callable[[torch.Tensor], Any], count: int = 2) -> Callable[[], Any]:
    class Returns(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return make(x)

    def act() -> Any:
        net = Classifier(Returns(), mean=(0,) * 3, std=(1,) * 3, input_size=8, device="cpu")
        return net(torch.zeros(count, 3, 8, 8, dtype=torch.uint8))

    return act


# ------------------------------------------------------------------------------------------- models


def models(folder: Path) -> Iterator[Case]:
    (folder / "config.json").write_text("{}")
    (folder / "hf").mkdir()
    (folder / "hf" / "config.json").write_text("{not json")
    (folder / "odd").mkdir()
    (folder / "odd" / "config.json").write_text('{"model_type": "nothing_like_it"}')
    (folder / "net.onnx").write_bytes(b"onnx")
    specs = [
        "", " ", "resnet5O", "ResNet50", "resnet50 ", "resnet-50", "vit", "timm:", "timm:resnet5O", "timm:resnet18.none",
        "timm: resnet18", "tim:resnet18", "hf:", f"hf:{folder}/hf", f"hf:{folder}/odd", f"hf:{folder}/nowhere/at/all",
        "hff:microsoft/resnet-50", "program:", "program:net.pt", "program:net.pt@", "program:@resnet50", "sample:",
        "sample:lite9", "overfeat", "overfeat-fast", "overfeat-acurate", "overfeat-accurate", ":build", "module:",
        "no_such_module:build", "os.path:no_such", "os:sep", "os:getcwd", str(folder), f"{folder}/net.onnx",
        "weights.safetensors", "a" * 300, "a\0b", "résnet50", "../resnet50", "resnet50;rm -rf", "timm:../../etc/passwd",
    ]  # fmt: skip
    for spec in specs:
        yield Case("models", f"spec {spec[:30]!r}", lambda spec=spec: load_model(spec, device="cpu"))
    for device in ("gpu", "cuda:99", "", "CPU", "mps0"):
        yield Case("models", f"device {device!r}", lambda device=device: load_model("sample", device=device))
    yield Case("models", "a number", lambda: load_model(3))
    wrong: dict[str, Callable[[torch.Tensor], Any]] = {
        "None": lambda x: None,
        "a string": lambda x: "logits",
        "an empty tuple": lambda x: (),
        "two candidates": lambda x: {"a": x.mean((2, 3)), "b": x.mean((2, 3))},
        "pixels": lambda x: x,
        "predictions": lambda x: x.mean((2, 3)).argmax(1),
        "one class": lambda x: x.mean((1, 2, 3))[:, None],
        "one row": lambda x: x.mean((2, 3))[:1],
        "NaN": lambda x: x.mean((2, 3)) * torch.nan,
        "infinity": lambda x: x.mean((2, 3)) + torch.inf,
        "complex": lambda x: x.mean((2, 3)).to(torch.complex64),
        "booleans": lambda x: x.mean((2, 3)) > 0,
    }
    for name, make in wrong.items():
        yield Case("models", f"a network that returns {name}", classified(make))
    arguments: dict[str, dict[str, Any]] = {
        "mean in 0..255": {"mean": (123.7, 116.3, 103.5)},
        "two means": {"mean": (0.5, 0.5)},
        "std of 0": {"std": (0, 1, 1)},
        "std NaN": {"std": (float("nan"),) * 3},
        "a mean in words": {"mean": "imagenet"},
        "size 0": {"input_size": 0},
        "size 2.5": {"input_size": 2.5},
        "three sizes": {"input_size": (3, 8, 8)},
        "a smaller resize": {"resize": 4},
        "a strange interpolation": {"interpolation": "cubic"},
    }
    for name, given in arguments.items():
        whole = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": 8, "device": "cpu", **given}
        yield Case("models", name, lambda whole=whole: Classifier(Net().eval(), **whole))


# ------------------------------------------------------------------------------------------ weights


class Payload:
    """What runs code when it is unpickled: it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.marker),))


def saved(content: Any, **options: Any) -> bytes:
    out = BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


def weights(folder: Path) -> Iterator[Case]:
    state = Net().state_dict()
    as_zip, as_old = saved(state), saved(state, _use_new_zipfile_serialization=False)
    as_tensors = save(state)
    files: dict[str, bytes] = {
        "nothing": b"",
        "text": b"hello",
        "HTML": b"<!DOCTYPE html>",
        "zeros": bytes(64),
    }
    for name, whole in (("zip", as_zip), ("pickle", as_old), ("safetensors", as_tensors)):
        for share in (0.02, 0.3, 0.6, 0.95):
            files[f"{name} cut at {share:.0%}"] = whole[: int(len(whole) * share)]
    files |= {
        "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "a safetensors header that is no JSON": struct.pack("<Q", 16) + b"{not json at all",
        "a safetensors header of 2**60 bytes": struct.pack("<Q", 2**60) + b"{}",
        "safetensors offsets beyond the end": as_tensors.replace(
            b'"data_offsets":[0', b'"data_offsets":[9', 1
        ),
        "a list": saved([1, 2]),
        "a tensor": saved(torch.zeros(2)),
        "a number": saved(7),
        "no tensors": saved({}),
        "numbers alone": saved({"epoch": 1, "lr": 0.1}),
        "an optimiser alone": saved({"optimizer": {"state": {0: torch.zeros(1)}}}),
        "keys that are numbers": saved({0: torch.zeros(1)}),
        "two networks": saved({"a": state, "b": Net(5).state_dict()}),
        "a tensor missing": saved({key: value for key, value in state.items() if key != "head.bias"}),
        "a tensor more": saved({**state, "tail.weight": torch.zeros(1)}),
        "another width": saved(Net(width=5).state_dict()),
        "other names": saved({f"x.{key}": value for key, value in state.items()}),
        "quantised weights": saved({key: (value * 50).to(torch.int8) for key, value in state.items()}),
        "complex weights": saved({key: value.to(torch.complex64) for key, value in state.items()}),
        "an object": saved({"state_dict": state, "hook": Payload(folder / "it-ran")}),
        "a whole network": saved(nn.Sequential(nn.Linear(2, 2))),
        "a plain pickle": pickle.dumps(state["head.bias"].tolist()),
        "a zip of something else": zipped({"readme.txt": b"hello"}),
        "a program": zipped({"net/code/__torch__.py": b"", "net/constants.pkl": b""}),
    }
    for index, (name, content) in enumerate(files.items()):
        path = folder / f"{index}.pt"
        path.write_bytes(content)
        yield Case("weights", name, lambda path=path: load_weights(Net(), read_checkpoint(path), name="net"))
    yield Case("weights", "no such file", lambda: read_checkpoint(folder / "nowhere.pt"))
    yield Case("weights", "a folder", lambda: read_checkpoint(folder))
    good = folder / "good.pt"
    good.write_bytes(as_zip)
    yield Case("weights", "a key that is not there", lambda: read_checkpoint(f"{good}#ema"))
    yield Case("weights", "another network's", lambda: load_model("resnet18", weights=good, device="cpu"))
    yield Case(
        "weights",
        "OverFeat's of another size",
        lambda: load_model("overfeat-fast", weights=good, device="cpu"),
    )
    spoilt = folder / "nan.pt"
    torch.save({key: value * torch.nan for key, value in state.items()}, spoilt)

    def nan() -> Any:
        net = Net()
        load_weights(net, read_checkpoint(spoilt), name="net")
        classifier = Classifier(net.eval(), mean=(0,) * 3, std=(1,) * 3, input_size=8, device="cpu")
        return classifier.probe()

    yield Case("weights", "NaN", nan)


def zipped(entries: dict[str, bytes]) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def programs(folder: Path) -> Iterator[Case]:
    exported = folder / "net.pt2"
    torch.export.save(torch.export.export(Net().eval(), (torch.zeros(1, 3, 8, 8),)), exported)
    whole = exported.read_bytes()
    files = {f"cut at {share:.0%}": whole[: int(len(whole) * share)] for share in (0.05, 0.5, 0.95)}
    with zipfile.ZipFile(exported) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    model = next(name for name in entries if name.endswith("models/model.json"))
    files |= {
        "nothing": b"",
        "text": b"hello",
        "weights": saved(Net().state_dict()),
        "a graph that is no JSON": zipped({**entries, model: b"{"}),
        "a graph of nothing": zipped({**entries, model: b"{}"}),
        "no graph": zipped({name: content for name, content in entries.items() if name != model}),
        "a table of weights that is no JSON": zipped(
            {
                name: b"{" if name.endswith("weights_config.json") else content
                for name, content in entries.items()
            }
        ),
        "an object": zipped(
            {**entries, "net/data/constants/opaque_obj_0": pickle.dumps(Payload(folder / "it-ran"))}
        ),
        "compiled code": zipped({**entries, "net/data/aotinductor/model/a.so": b"\x7fELF"}),
        "TorchScript of nothing": zipped({"net/code/a.py": b"", "net/constants.pkl": b""}),
    }
    for index, (name, content) in enumerate(files.items()):
        path = folder / f"{index}.pt2"
        path.write_bytes(content)
        yield Case("programs", name, lambda path=path: load_program(path))


# ------------------------------------------------------------------------------------------- images


def images(folder: Path) -> Iterator[Case]:
    random = np.random.default_rng(0)
    photograph = Image.fromarray(random.integers(0, 256, (64, 48, 3), dtype=np.uint8))
    files: dict[str, bytes] = {
        "empty.png": b"", "zeros.jpg": bytes(500), "text.jpg": b"not an image", "page.png": b"<html>404</html>",
        "json.jpg": b'{"error": "not found"}', "lfs.png": b"version https://git-lfs.github.com/spec/v1\noid",
        "start.jpg": b"\xff\xd8\xff\xe0", "start.png": b"\x89PNG\r\n\x1a\n", "start.gif": b"GIF89a", "start.webp": b"RIFF....WEBP",
        "start.tif": b"II*\0\x08\0\0\0", "start.bmp": b"BM", "pdf.jpg": b"%PDF-1.7", "elf.png": b"\x7fELF" + bytes(60),
    }  # fmt: skip
    for extension in ("jpg", "png", "gif", "webp", "tif", "bmp", "ppm"):
        out = BytesIO()
        photograph.save(out, {"jpg": "JPEG", "tif": "TIFF"}.get(extension, extension.upper()))
        for share in (0.3, 0.9):
            files[f"cut at {share:.0%}.{extension}"] = out.getvalue()[: int(len(out.getvalue()) * share)]
    out = BytesIO()
    photograph.save(out, "PNG")
    spoilt = bytearray(out.getvalue())
    spoilt[len(spoilt) // 2] ^= 0xFF
    files["a byte of its data changed.png"] = bytes(spoilt)
    for array, name in ((np.ones((9, 9), np.float32), "float"), (np.ones((9, 9), np.int32), "deep")):
        out = BytesIO()
        Image.fromarray(array).save(out, "TIFF")
        files[f"{name}.tif"] = out.getvalue()
    out = BytesIO()
    Image.new("1", (15_000, 15_000)).save(out, "PNG")
    files["bomb.png"] = out.getvalue()
    for index, (name, content) in enumerate(files.items()):
        inner = folder / str(index)
        inner.mkdir()
        (inner / name).write_bytes(content)
        yield Case("images", name, lambda inner=inner: read(inner))
    for name, target in (("gone.png", "nowhere.png"), ("circle.png", "circle.png")):
        inner = folder / name
        inner.mkdir()
        (inner / name).symlink_to(target)
        yield Case("images", name, lambda inner=inner: read(inner))
    rule = Preprocessing.for_size(8)
    objects: dict[str, Any] = {
        "floats that are no levels": [np.full((3, 8, 8), 3.7)],
        "NaN": [np.full((3, 8, 8), np.nan)],
        "four channels": [np.zeros((4, 9, 9), np.uint8)],
        "a batch in an item": [np.zeros((2, 3, 9, 9), np.uint8)],
        "no pixels": [np.zeros((3, 0, 9), np.uint8)],
        "16 bits": [np.zeros((3, 9, 9), np.uint16)],
        "words": ["a.png", "b.png"],
        "numbers": [1, 2, 3],
        "a dictionary of lists": {"image": [1], "label": [0]},
        "nothing": [],
        "a used generator": iter(()),
        "a failing generator": (1 // 0 for _ in range(2)),
    }
    for name, given in objects.items():
        yield Case("images", name, lambda given=given: list(image_set_of(given, rule, name="theirs")))
    arrays: dict[str, Any] = {
        "floats": torch.zeros(1, 3, 8, 8), "three dimensions": torch.zeros(3, 8, 8, dtype=torch.uint8),
        "channels last": torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "none": torch.zeros(0, 3, 8, 8, dtype=torch.uint8),
    }  # fmt: skip
    for name, array in arrays.items():
        yield Case("images", f"an array, {name}", lambda array=array: ImageSet.from_arrays(array))


def read(location: Any) -> Any:
    return [batch.pixels.float().mean() for batch in open_images(location, size=8)]


# ------------------------------------------------------------------------------------------- labels


def labels(folder: Path) -> Iterator[Case]:
    pixels = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    for wrong in (
        [0, 1],
        [0.0, 1.0, 2.0],
        [0, 1, -2],
        ["a", "b", "c"],
        [[0], [1], [2]],
        7,
        [0, None, 1],
        [True, False, True],
    ):
        yield Case("labels", f"{wrong!r}", lambda wrong=wrong: ImageSet.from_arrays(pixels, wrong))
    yield Case(
        "labels", "beyond the classes", lambda: ImageSet.from_arrays(pixels, [0, 1, 7]).check_labels(4)
    )
    rule = Preprocessing.for_size(8)
    for name, label in {
        "a list": [1, 2],
        "a vector": torch.zeros(2),
        "-3": -3,
        "1.5": 1.5,
        "infinity": float("inf"),
    }.items():
        given = [(Image.new("RGB", (9, 9)), label)]
        yield Case("labels", name, lambda given=given: image_set_of(given, rule, name="theirs"))
    mixed = [(Image.new("RGB", (9, 9)), "cat"), (Image.new("RGB", (9, 9)), 1)]
    yield Case("labels", "names and numbers", lambda: image_set_of(mixed, rule, name="theirs"))
    tables = {
        "nothing": "", "a header alone": "path,label\n", "no paths": "a,b\n1,2\n", "a short row": "path,label\na.png\n",
        "a long row": "path,label\na.png,1,2\n", "a name among numbers": "path,label\na.png,1\nb.png,cat\n",
        "-2": "path,label\na.png,-2\n", "1.5": "path,label\na.png,1.5\n", "1e99": "path,label\na.png,1e99\n",
        "nan": "path,label\na.png,nan\n", "no path in a row": "path,label\n,1\n", "an open quote": 'path,label\n"a.png,1\n',
    }  # fmt: skip
    for index, (name, text) in enumerate(tables.items()):
        path = folder / f"{index}.csv"
        path.write_text(text)
        yield Case("labels", f"a table with {name}", lambda path=path: open_images(path, size=8))
    truths = {"letters": "a\n", "0": "0\n", "1001": "1001\n", "nothing": "", "a negative": "-5\n"}
    for name, text in truths.items():
        root = folder / f"imagenet {name}"
        root.mkdir()
        (root / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"")
        (root / "ILSVRC2012_validation_ground_truth.txt").write_text(text)
        yield Case(
            "labels", f"a ground truth of {name}", lambda root=root: open_images(f"imagenet:{root}", size=8)
        )


def image_specs(folder: Path) -> Iterator[Case]:
    (folder / "file.png").write_bytes(b"")
    (folder / "empty").mkdir()
    (folder / "hole" / "a").mkdir(parents=True)
    (folder / "hole" / "b").mkdir()
    (folder / "hole" / "b" / "1.png").write_bytes(b"")
    (folder / "latin.csv").write_bytes("path\ncafé".encode("latin-1"))
    (folder / "bad.parquet").write_bytes(b"PAR1")
    specs = [
        "nowhere", "", f"{folder}/file.png", f"{folder}/empty", f"{folder}/hole", "imagenet:", "imagenet:nowhere",
        f"imagenet:{folder}", "imagnet:x", "hf:", "hf::test", f"hf:{folder}/empty", f"hf:{folder}/empty:test?image=a",
        "hf:x?nothing=1", "hf:x?image=", "sample:2", "nowhere.csv", "nowhere.parquet", f"{folder}/latin.csv",
        f"{folder}/bad.parquet", f"{folder}/latin.csv?path", "a\0b", "x" * 5000,
    ]  # fmt: skip
    for spec in specs:
        yield Case("image specs", spec[:40], lambda spec=spec: open_images(spec, size=8))
    yield Case("image specs", "a number", lambda: open_images(3, size=8))
    for size in (0, -1, (8,), "224", None, (8, 0)):
        yield Case("image specs", f"size {size!r}", lambda size=size: open_images("sample", size=size))
    for limit in (0, -3):
        yield Case(
            "image specs", f"limit {limit}", lambda limit=limit: open_images("sample", size=8, limit=limit)
        )


# ------------------------------------------------------------------------------- views and claims


def views(folder: Path) -> Iterator[Case]:
    texts = [
        "", " ", "y", "X", "adv_1", "Adv", "Adv_", "Adv_0", "Adv_256", "Adv_1.5", "Adv_-1", "Adv_1e3", "Adv_1(x", "Adv_1)x",
        "Adv_1(x))", "Adv_1(x x)", "Adv_1[", "Adv_1[]", "Adv_1[label]", "Adv_1[label=]", "Adv_1[label=topp]", "Adv_1[lable=top]",
        "Adv_1[label=top,label=top]", "Adv_1[through=Blur]", "JPG_0", "JPG_101", "JPG_50.5", "JPEG", "JPG(JPG", "JPG_noise_0",
        "Noise", "Noise_300", "x(Adv_1)", "JPG(;)", "Adv_1;x", "Adv_١", "Adv_1\0", "JPG(" * 60 + "x" + ")" * 60, "💥", "a" * 5000,
        "__import__('os')", "Adv_1(x)#", "Adv__1", "Adv_1_1", "JPG(Adv_1),x",
    ]  # fmt: skip
    for text in texts:
        yield Case("views", repr(text)[:40], lambda text=text: parse(text))


def claims(folder: Path) -> Iterator[Case]:
    texts = [
        "", "accuracy(x)", "accuracy(x) >=", ">= 0.5", "accuracy(x) >= 0.5 >= 0.1", "accuracy(x) == 0.5", "accuracy(x) = 0.5",
        "accuracy(x) != 0.5", "acuracy(x) >= 0.5", "accuracy >= 0.5", "accuracy() >= 0.5", "accuracy(y) >= 0.5",
        "accuracy(x >= 0.5", "accuracy(x)) >= 0.5", "accuracy(x) >= 60 %%", "accuracy(x) >= 60", "accuracy(x) >= -1", "0.5 >= 0.4",
        "accuracy(x) * accuracy(x) >= 0.5", "accuracy(x) / 0 >= 0.5", "1 / accuracy(x) >= 0.5", "recovery(x) >= 0.5",
        "recovery(Adv_1) >= 0.5", "accuracy(x) >= 1e999", "accuracy(x) >= nan", "accuracy(x) >= 0x1", "accuracy(x) and kept(x) >= 1",
        "accuracy(JPG(Adv_)) >= 0.5", "accuracy(x) >= accuracy(x)", "__import__('os').system('true') >= 0", "(" * 80 + "accuracy(x)",
        "accuracy(x) >= 0.5; rm", "accuracy(x)\n>= ", "accuracy[x] >= 0.5", "ACCURACY(x) >= 0.5", "accuracy(x) ≥≥ 0.5",
    ]  # fmt: skip
    for text in texts:
        yield Case("claims", repr(text)[:40], lambda text=text: parse_claim(text))


def claim_files(folder: Path) -> Iterator[Case]:
    contents: dict[str, bytes] = {
        "bad TOML": b"[claims", "no claims": b"", "claims that is a number": b"claims = 3", "a number as claim": b"[claims]\na = 3",
        "a bad claim": b"[claims]\na = 'accuracy(x) > '", "a table without claim": b"[claims.a]\nalpha = 0.1",
        "an unknown setting": b"[claims.a]\nclaim = 'accuracy(x) > 0.5'\nalhpa = 0.1", "alpha 2": b"alpha = 2\n[claims]\na = 'kept(x) > 0'",
        "alpha in words": b"alpha = 'small'\n[claims]\na = 'kept(x) > 0.1'", "family of another name": b"family = 'bonferoni'\n[claims]",
        "tolerance -1": b"tolerance = -1\n[claims]\na = 'kept(x) > 0.1'", "Latin-1": b"[claims]\n# caf\xe9", "bytes": bytes(range(256)),
        "a name twice": b"[claims]\na = 'kept(x) > 0.1'\na = 'kept(x) > 0.2'", "about the moon": b"about = 'moon'\n[claims]\na = 'kept(x) > 0.1'",
        "a list of claims": b"[[claims]]\na = 1", "an unknown table": b"[claim]\na = 'kept(x) > 0.1'",
    }  # fmt: skip
    for index, (name, content) in enumerate(contents.items()):
        path = folder / f"{index}.toml"
        path.write_bytes(content)
        yield Case("claim files", name, lambda path=path: read_claims(path))
    yield Case("claim files", "no file", lambda: read_claims(folder / "nowhere.toml"))
    yield Case("claim files", "a folder", lambda: read_claims(folder))


# ---------------------------------------------------------------------------- records and baselines


def some_records() -> Records:
    count = 4
    columns = {
        "prediction": np.array([0, 1, 2, 1]), "correct": np.array([1.0, 1, 0, 1]), "p_top": np.array([0.9, 0.8, 0.7, 0.6]),
        "kept": np.ones(count), "linf": np.zeros(count), "l2": np.zeros(count),
    }  # fmt: skip
    names = tuple(f"{index}.png" for index in range(count))
    adv = {**columns, "linf": np.ones(count), "l2": np.full(count, 2.0)}
    return Records(
        ("a", "b", "c", "d"),
        names,
        np.array([0, 1, 0, 1]),
        {X: columns, parse("Adv_1"): adv},
        {"model": "toy"},
    )


def records(folder: Path) -> Iterator[Case]:
    whole = dumps(some_records())
    row = "a,0.png,0,"
    changes: dict[str, str] = {
        "nothing": "", "text": "hello", "another version": whole.replace("records 1", "records 9", 1),
        "a header that is no JSON": whole.replace("# {", "# {{", 1), "a header cut off": whole[:60],
        "no views": whole.replace('"views"', '"vews"', 1), "no clean images": whole.replace('"x"', '"JPG"', 1),
        "a view that can't be read": whole.replace('"Adv_1"', '"Adv_"', 1), "a column less": whole.replace(",x:linf", "", 1),
        "columns in another order": whole.replace("id,name", "name,id", 1), "a cell less": whole.replace(row, "a,0.png,", 1),
        "a cell more": whole.replace(row, f"{row}9,", 1), "a label in words": whole.replace(row, "a,0.png,cat,", 1),
        "a prediction in words": whole.replace(f"{row}0,", f"{row}zero,", 1), "a prediction of half": whole.replace(f"{row}0,", f"{row}0.5,", 1),
        "a prediction of -4": whole.replace(f"{row}0,", f"{row}-4,", 1), "a probability of 7": whole.replace("0,0.9,", "0,7,", 1),
        "a probability in words": whole.replace("0,0.9,", "0,much,", 1), "no probability": whole.replace("0,0.9,", "0,,", 1),
        "a probability NaN": whole.replace("0,0.9,", "0,nan,", 1), "an infinite distance": whole.replace(",1,2\n", ",1,inf\n", 1),
        "a distance of -1": whole.replace(",1,2\n", ",-1,2\n", 1), "an open quote": whole.replace("a,0.png", '"a,0.png', 1),
        "a name that is no JSON": whole.replace("0.png", "\\q", 1), "a line cut off": whole[:-9], "no rows": whole[: whole.index(row)],
        "a label of -7": whole.replace(row, "a,0.png,-7,", 1), "headers alone": "# robustcheck records 1\n",
        "a header that is a list": "# robustcheck records 1\n# [1]\nid\n", "views that are numbers": whole.replace('"Adv_1"', "3", 1),
        "a zero byte": whole.replace("a,0.png", "a\0,0.png", 1), "a view twice": whole.replace('"Adv_1"', '"x"', 1),
    }  # fmt: skip
    for name, text in changes.items():
        if text != whole:
            yield Case("records", name, lambda text=text: loads(text))
    for measure, view in (("acuracy", "x"), ("kept", "Adv_2"), ("kept", "Adv_"), ("", "x")):
        yield Case(
            "records",
            f"{measure} of {view}",
            lambda measure=measure, view=view: some_records().column(measure, view),
        )


def baselines(folder: Path) -> Iterator[Case]:
    names = [
        "../../x", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "con", "CON", "nul.txt", "COM1", "lpt9", "aux.v1", "-rf", ".hidden",
        "a b", "a\0b", "x" * 200, "é", "a:b", "v1.", "~", "$HOME", "a\nb",
    ]  # fmt: skip
    for name in names:
        yield Case("baselines", f"name {name[:20]!r}", lambda name=name: path_of(name, folder))
    inner = folder / "robustcheck-baselines"
    inner.mkdir()
    (inner / "junk.csv").write_bytes(b"\xff\xfe junk")
    (inner / "empty.csv").write_text("")
    (inner / "failed.csv").write_text(dumps(some_records(), {"integrity tests failed": ["chance"]}))
    (inner / "good.csv").write_text(dumps(some_records()))
    (inner / "folder.csv").mkdir()
    for name in (
        "junk",
        "empty",
        "failed",
        "folder",
        "godo",
        str(inner),
        "../robustcheck-baselines/empty.csv",
    ):
        yield Case("baselines", f"read {name[:30]}", lambda name=name: Baseline.read(name, folder))
    baseline = Baseline.read("good", folder)
    ids, labels_then, same = ("a", "b", "c", "d"), np.array([0, 1, 0, 1]), {"model": "toy"}
    wrong: dict[str, tuple[Any, ...]] = {
        "other images": ("accuracy", X, ("a", "b", "c", "e"), labels_then, same),
        "fewer images": ("accuracy", X, ids[:3], labels_then[:3], same),
        "other labels": ("accuracy", X, ids, labels_then + 1, same),
        "another view": ("accuracy", parse("Adv_2"), ids, labels_then, same),
        "another measure": ("acuracy", X, ids, labels_then, same),
        "another seed": ("accuracy", X, ids, labels_then, {**same, "seed": "3"}),
        "another codec": ("accuracy", X, ids, labels_then, {**same, "codec": "JPEG 4:4:4"}),
    }
    for name, arguments in wrong.items():
        yield Case("baselines", f"against {name}", lambda arguments=arguments: baseline.column(*arguments))


# ------------------------------------------------------------------------------------------ options


def command_lines() -> Iterator[str]:
    """Options that are refused before a test runs."""
    wrong = {
        "limit": ["0", "-1", "x", "1.5", "٣", "1e3", "9" * 5000], "batch-size": ["0", "many"], "seed": ["-1", "x", "0.5"],
        "budget": ["0", "all"], "alpha": ["0", "1", "5", "-0.1", "nan", "small", "5%"], "suite": ["jpg-study", "JPEG-STUDY"],
        "findings": ["fail", "yes"], "bad-images": ["ignore", "Skip"], "save": ["../../x", "/x", "con", "a/b", ".", "a b"],
        "compare": ["nowhere", "../../../etc/passwd"],
    }  # fmt: skip
    for name, values in wrong.items():
        yield from (f"--robustcheck-{name}={value}" for value in values)
    yield from (f"{option.flag}=" for option in OPTIONS if option.metavar is not None)
    yield from (
        "--robustcheck-modle=x",
        "--robustcheck-image=x",
        "--robustcheck-bad-image=skip",
        "--robustcheck-stop-erly",
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        outcomes = [outcome(case) for case in cases(Path(made))]
    for kind, number in Counter(each.case.kind for each in outcomes).items():
        failed = [each for each in outcomes if each.case.kind == kind and each.problem]
        sys.stdout.write(f"{kind:<12} {number:>4}   {number - len(failed)} ended in our error\n")
        sys.stdout.writelines(f"    {each.case.name}: {each.problem}\n" for each in failed)
    sys.stdout.write(f"{len(outcomes)} inputs, {sum(bool(each.problem) for each in outcomes)} problems\n")
