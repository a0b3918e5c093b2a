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
from itertools import count
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
from robustcheck.models.checkpoints.checkpoint import read_checkpoint
from robustcheck.models.checkpoints.weights import load_weights
from robustcheck.notation import X, parse
from robustcheck.options.table import OPTIONS
from robustcheck.records import as_rows
from robustcheck.records.baseline import Baseline, path_of
from robustcheck.records.csv import dumps, loads
from robustcheck.records.provenance import Provenance


@dataclass(frozen=True)
class Case:
    """One input, what is done with it, and what its message has to hold: what was got, and what to do or what is allowed."""

    kind: str
    name: str
    act: Callable[[], Any]
    says: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of an input: the message of our error, or what happened instead."""

    case: Case
    message: str
    problem: str = ""


_OURS = re.compile(r"Traceback|File \".*robustcheck|object at 0x")


def outcome(case: Case) -> Outcome:
    """Run a case; a problem is an error of another kind, none at all, or a message that leaves something out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = case.act()
    except RobustcheckError as error:
        message = str(error)
        problem = "".join(f"{word!r} is missing in: " for word in case.says if word not in message)
        if _OURS.search(message):
            problem += "the inside is shown in: "
        return Outcome(case, message, problem and problem + message)
    except Exception as error:  # the very thing that is looked for
        return Outcome(case, "", f"{type(error).__name__}: {error}"[:300])
    return Outcome(case, "", f"went through, and gave {result!r}"[:300])


def shown(text: str, length: int = 40) -> str:
    """A text as a message shows it, or the beginning of it."""
    return repr(text[:length])[1:-1]


def rows(table: dict[str, list[str | tuple[str, str]]]) -> Iterator[tuple[str, str, str]]:
    """Yield each wrong text of a table by what is allowed, with the part of it that a message names."""
    for allowed, wrong in table.items():
        for each in wrong:
            yield (*(each if isinstance(each, tuple) else (each, shown(each))), allowed)


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
    specs: dict[str, list[str | tuple[str, str]]] = {  # by what is allowed instead
        "hf:REPO": [
            "", " ", "resnet5O", "ResNet50", "resnet50 ", "resnet-50", "vit", "overfeat", "overfeat-acurate", "résnet50", "../resnet50",
            "resnet50;rm -rf",
        ],
        "timm:resnet18": ["timm:"], "resnet50": [("timm:resnet5O", "resnet5O"), "program:net.pt", "program:net.pt@", "program:@resnet50", "program:", "a" * 300], "alexnet": ["a\0b"],
        "tv_in1k": [("timm:resnet18.none", "none")], "'resnet18'": [("timm: resnet18", "' resnet18'")], "'timm'": ["tim:resnet18"], "hf:microsoft/resnet-50": ["hf:"],
        "'hf'": ["hff:microsoft/resnet-50"], "config.json": [f"hf:{folder}/hf", f"hf:{folder}/odd"], "folder": [f"hf:{folder}/nowhere/at/all"],
        "sample:lite1": ["sample:"], "lite2": [("sample:lite9", "lite9")],
        "--robustcheck-weights=PATH": ["overfeat-fast", "overfeat-accurate"], "package.module:callable": [":build", "module:"],
        "pythonpath": ["no_such_module:build"], "abspath": ["os.path:no_such"], "function": ["os:sep"], "nn.Module": ["os:getcwd"],
        f"hf:{folder}": [str(folder)], "--robustcheck-weights": [f"{folder}/net.onnx", "weights.safetensors"],
        "aimv2_1b_patch14_224": [("timm:../../etc/passwd", "../../etc/passwd")],
    }  # fmt: skip
    for spec, got, allowed in rows(specs):
        yield Case(
            "models", f"spec {spec[:30]!r}", lambda spec=spec: load_model(spec, device="cpu"), (got, allowed)
        )
    for device in ("gpu", "cuda:99", "", "CPU", "mps0"):
        says = (repr(device), "--robustcheck-device=cpu" if device == "cuda:99" else "cuda:0")
        yield Case(
            "models", f"device {device!r}", lambda device=device: load_model("sample", device=device), says
        )
    yield Case("models", "a number", lambda: load_model(3), ("int", "robustcheck.Classifier("))
    wrong: dict[str, tuple[Callable[[torch.Tensor], Any], str, str]] = {
        "None": (lambda x: None, "NoneType", "self.net(x).logits"),
        "a string": (lambda x: "logits", "str", "self.net(x).logits"),
        "an empty tuple": (lambda x: (), "tuple", "self.net(x)[0]"),
        "two candidates": (
            lambda x: {"a": x.mean((2, 3)), "b": x.mean((2, 3))},
            "b: (2, 3)",
            "self.net(x)[0]",
        ),
        "pixels": (lambda x: x, "(2, 3, 8, 8)", "(2, classes)"),
        "predictions": (lambda x: x.mean((2, 3)).argmax(1), "int64", "(2, classes)"),
        "one class": (lambda x: x.mean((1, 2, 3))[:, None], "at least 2 classes", "got 1"),
        "one row": (lambda x: x.mean((2, 3))[:1], "(1, 3)", "(2, classes)"),
        "NaN": (lambda x: x.mean((2, 3)) * torch.nan, "2 of 2 images", "weights and normalisation"),
        "infinity": (lambda x: x.mean((2, 3)) + torch.inf, "2 of 2 images", "weights and normalisation"),
        "complex": (lambda x: x.mean((2, 3)).to(torch.complex64), "complex64", "float"),
        "booleans": (lambda x: x.mean((2, 3)) > 0, "bool", "float"),
    }
    for name, (make, *says) in wrong.items():
        yield Case("models", f"a network that returns {name}", classified(make), ("Returns", *says))
    arguments: dict[str, tuple[dict[str, Any], str]] = {
        "mean in 0..255": ({"mean": (123.7, 116.3, 103.5)}, "255"),
        "two means": ({"mean": (0.5, 0.5)}, "three"),
        "std of 0": ({"std": (0.0, 1.0, 1.0)}, "above 0"),
        "std NaN": ({"std": (float("nan"),) * 3}, "finite"),
        "a mean in words": ({"mean": "imagenet"}, "three"),
        "size 0": ({"input_size": 0}, "(height, width)"),
        "size 2.5": ({"input_size": 2.5}, "integer"),
        "three sizes": ({"input_size": (3, 8, 8)}, "(height, width)"),
        "a smaller resize": ({"resize": 4}, "(8, 8)"),
        "a strange interpolation": ({"interpolation": "cubic"}, "bicubic"),
    }
    for name, (given, allowed) in arguments.items():
        whole = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": 8, "device": "cpu", **given}
        says = (*(f"{key}" for key in given), *(str(value) for value in given.values()), allowed)
        yield Case("models", name, lambda whole=whole: Classifier(Net().eval(), **whole), says)


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
    shares = (0.02, 0.3, 0.6, 0.95)
    whole_files = {"zip": as_zip, "pickle": as_old}
    files: dict[str, dict[str, bytes]] = {  # by what is allowed, or to be done
        "torch.save": {
            "text": b"hello", "HTML": b"<!DOCTYPE html>", "zeros": bytes(64), "a plain pickle": pickle.dumps(state["head.bias"].tolist()),
            "a zip of something else": zipped({"readme.txt": b"hello"}),
            **{f"{name} cut at {share:.0%}": file[: int(len(file) * share)] for name, file in whole_files.items() for share in shares},
        },
        "download or copy it again": {
            "nothing": b"", "a safetensors header that is no JSON": struct.pack("<Q", 16) + b"{not json at all",
            "a safetensors header of 2**60 bytes": struct.pack("<Q", 2**60) + b"{}",
            "safetensors offsets beyond the end": as_tensors.replace(b'"data_offsets":[0', b'"data_offsets":[9', 1),
            **{f"safetensors cut at {share:.0%}": as_tensors[: int(len(as_tensors) * share)] for share in shares},
        },
        "git lfs pull": {"a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0"},
        "torch.save(net.state_dict(), 'weights.pt')": {
            "a list": saved([1, 2]), "a tensor": saved(torch.zeros(2)), "a number": saved(7), "no tensors": saved({}),
            "numbers alone": saved({"epoch": 1, "lr": 0.1}), "keys that are numbers": saved({0: torch.zeros(1)}),
            "an optimiser alone": saved({"optimizer": {"state": {0: torch.zeros(1)}}}),
        },
        "pt#a": {"two networks": saved({"a": state, "b": Net(5).state_dict()})},
        "head.bias": {"a tensor missing": saved({key: value for key, value in state.items() if key != "head.bias"})},
        "tail.weight": {"a tensor more": saved({**state, "tail.weight": torch.zeros(1)})},
        "(5, 3, 3, 3), not (3, 3, 3, 3)": {"another width": saved(Net(width=5).state_dict())},
        "x_stem.weight": {"other names": saved({f"x_{key}": value for key, value in state.items()})},
        "int8, not floats": {"quantised weights": saved({key: (value * 50).to(torch.int8) for key, value in state.items()})},
        "complex64, not floats": {"complex weights": saved({key: value.to(torch.complex64) for key, value in state.items()})},
        "mkdir": {"an object": saved({"state_dict": state, "hook": Payload(folder / "it-ran")})},
        "Sequential": {"a whole network": saved(nn.Sequential(nn.Linear(2, 2)))},
        "program:": {"a program": zipped({"net/code/__torch__.py": b"", "net/constants.pkl": b""})},
    }  # fmt: skip
    numbers = count()
    for allowed, contents in files.items():
        for name, content in contents.items():
            path = folder / f"{next(numbers)}.pt"
            path.write_bytes(content)
            yield Case(
                "weights",
                name,
                lambda path=path: load_weights(Net(), read_checkpoint(path), name="net"),
                (str(path), allowed),
            )
    yield Case(
        "weights",
        "no such file",
        lambda: read_checkpoint(folder / "nowhere.pt"),
        (f"{folder}/nowhere.pt", "path"),
    )
    yield Case("weights", "a folder", lambda: read_checkpoint(folder), (str(folder), "file"))
    good = folder / "good.pt"
    good.write_bytes(as_zip)
    for name, act, says in (
        ("a key that is not there", lambda: read_checkpoint(f"{good}#ema"), ("'ema'", "(the top)")),
        (
            "another network's",
            lambda: load_model("resnet18", weights=good, device="cpu"),
            ("resnet18", "conv1.weight", "stem.weight"),
        ),
        (
            "OverFeat's of another size",
            lambda: load_model("overfeat-fast", weights=good, device="cpu"),
            (str(len(as_zip)), "583683488"),
        ),
    ):
        yield Case("weights", name, act, (str(good), *says))
    spoilt = folder / "nan.pt"
    torch.save({key: value * torch.nan for key, value in state.items()}, spoilt)

    def nan() -> Any:
        net = Net()
        load_weights(net, read_checkpoint(spoilt), name="net")
        classifier = Classifier(net.eval(), mean=(0,) * 3, std=(1,) * 3, input_size=8, device="cpu")
        return classifier.probe()

    yield Case("weights", "NaN", nan, ("2 of 2 images", "weights and normalisation"))


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
    with zipfile.ZipFile(exported) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    model = next(name for name in entries if name.endswith("models/model.json"))
    table = next(name for name in entries if name.endswith("weights_config.json"))
    payload = pickle.dumps(Payload(folder / "it-ran"))
    files: dict[str, dict[str, bytes]] = {  # by what is allowed, or to be done
        "torch.export.save": {
            "nothing": b"", "text": b"hello", "a table of weights that is no JSON": zipped({**entries, table: b"{"}),
            "compiled code": zipped({**entries, "net/data/aotinductor/model/a.so": b"\x7fELF"}),
            **{f"cut at {share:.0%}": whole[: int(len(whole) * share)] for share in (0.05, 0.5, 0.95)},
        },
        "--robustcheck-weights=": {"weights": saved(Net().state_dict())},
        "Export the network": {
            "a graph that is no JSON": zipped({**entries, model: b"{"}), "a graph of nothing": zipped({**entries, model: b"{}"}),
            "no graph": zipped({name: content for name, content in entries.items() if name != model}),
            "TorchScript of nothing": zipped({"net/code/a.py": b"", "net/constants.pkl": b""}),
        },
        "opaque_obj_0": {"an object": zipped({**entries, "net/data/constants/opaque_obj_0": payload})},
    }  # fmt: skip
    numbers = count()
    for allowed, contents in files.items():
        for name, content in contents.items():
            path = folder / f"{next(numbers)}.pt2"
            path.write_bytes(content)
            yield Case("programs", name, lambda path=path: load_program(path), (str(path), allowed))


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
        cure = "git lfs pull" if name == "lfs.png" else "--robustcheck-bad-images=skip"
        yield Case("images", name, lambda inner=inner: read(inner), (f"{inner}/{name}", cure))
    for name, target in (("gone.png", "nowhere.png"), ("circle.png", "circle.png")):
        inner = folder / name
        inner.mkdir()
        (inner / name).symlink_to(target)
        yield Case(
            "images",
            name,
            lambda inner=inner: read(inner),
            (f"{inner}/{name}", "--robustcheck-bad-images=skip"),
        )
    rule = Preprocessing.for_size(8)
    objects: dict[str, tuple[Any, str, str]] = {
        "floats that are no levels": (
            [np.full((3, 8, 8), 3.7)],
            "[0]",
            "got float64 from 3.7 to 3.7",
            "0..255",
        ),
        "NaN": ([np.full((3, 8, 8), np.nan)], "[0]", "got float64 from nan to nan", "0..255"),
        "four channels": ([np.zeros((4, 9, 9), np.uint8)], "[0]", "got (4, 9, 9)", "(3, H, W)"),
        "a batch in an item": (
            [np.zeros((2, 3, 9, 9), np.uint8)],
            "[0]",
            "shape (2, 3, 9, 9)",
            "pair (X, y)",
        ),
        "no pixels": ([np.zeros((3, 0, 9), np.uint8)], "[0]", "got (3, 0, 9)", "(3, H, W)"),
        "16 bits": ([np.zeros((3, 9, 9), np.uint16)], "[0]", "got uint16", "0..255"),
        "words": (["a.png", "b.png"], "[0]", "got str", "PIL image"),
        "numbers": ([1, 2, 3], "[0]", "got int", "PIL image"),
        "a dictionary of lists": (
            {"image": [1], "label": [0]},
            "dict",
            "pair (X, y)",
        ),
        "nothing": ([], "list", "at least one"),
        "a used generator": (iter(()), "tuple_iterator", "list"),
        "a failing generator": ((1 // 0 for _ in range(2)), "item 0", "list"),
    }
    for name, (given, *says) in objects.items():
        yield Case(
            "images",
            name,
            lambda given=given: list(image_set_of(given, rule, name="theirs")),
            ("theirs", *says),
        )
    arrays: dict[str, Any] = {
        "floats": torch.zeros(1, 3, 8, 8), "three dimensions": torch.zeros(3, 8, 8, dtype=torch.uint8),
        "channels last": torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "none": torch.zeros(0, 3, 8, 8, dtype=torch.uint8),
    }  # fmt: skip
    for name, array in arrays.items():
        says = (f"{array.dtype}".removeprefix("torch."), str(tuple(array.shape)), "uint8 (N, 3, H, W)")
        yield Case("images", f"an array, {name}", lambda array=array: ImageSet.from_arrays(array), says)


def read(location: Any) -> Any:
    return [batch.pixels.float().mean() for batch in open_images(location, size=8)]


# ------------------------------------------------------------------------------------------- labels


def labels(folder: Path) -> Iterator[Case]:
    pixels = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    shapes = {"(2,)": [0, 1], "float64": [0.0, 1.0, 2.0], "-2": [0, 1, -2], "<U1": ["a", "b", "c"], "(3, 1)": [[0], [1], [2]],
        "()": 7, "object": [0, None, 1], "bool": [True, False, True]}  # fmt: skip
    for got, wrong in shapes.items():
        yield Case(
            "labels",
            f"{wrong!r}",
            lambda wrong=wrong: ImageSet.from_arrays(pixels, wrong),
            (got, "-1 for none"),
        )
    yield Case(
        "labels",
        "beyond the classes",
        lambda: ImageSet.from_arrays(pixels, [0, 1, 7]).check_labels(4),
        ("image 2", "7", "0 to 3"),
    )
    rule = Preprocessing.for_size(8)
    items: dict[str, tuple[Any, str, str]] = {
        "a list": ([1, 2], "list", "class index"),
        "a vector": (torch.zeros(2), "(2,)", "class index"),
        "-3": (-3, "'-3'", "-1 for none"),
        "1.5": (1.5, "'1.5'", "-1 for none"),
        "infinity": (float("inf"), "'inf'", "-1 for none"),
    }
    for name, (label, *says) in items.items():
        given = [(Image.new("RGB", (9, 9)), label)]
        yield Case(
            "labels", name, lambda given=given: image_set_of(given, rule, name="theirs"), ("theirs[0]", *says)
        )
    mixed = [(Image.new("RGB", (9, 9)), "cat"), (Image.new("RGB", (9, 9)), 1)]
    yield Case(
        "labels",
        "names and numbers",
        lambda: image_set_of(mixed, rule, name="theirs"),
        ("theirs[0]", "'cat'", "theirs[1]", "class indices", "class names"),
    )
    tables: dict[str, tuple[str, tuple[str, ...]]] = {
        "nothing": ("", ("path,label",)), "a header alone": ("path,label\n", ("line",)), "no paths": ("a,b\n1,2\n", ("a, b", "?path=COLUMN")),
        "a short row": ("path,label\na.png\n", ("line 2", "2 cells", "got 1", "path, label")),
        "a long row": ("path,label\na.png,1,2\n", ("line 2", "2 cells", "got 3", "path, label")),
        "a name among numbers": ("path,label\na.png,1\nb.png,cat\n", ("line 3", "'cat'", "class indices", "class names")),
        **{wrong: (f"path,label\na.png,{wrong}\n", ("line 2", f"'{wrong}'", "-1 for none")) for wrong in ("-2", "1.5", "1e99", "nan")},
        "no path in a row": ("path,label\n,1\n", ("line 2", "''", "from the table")),
        "an open quote": ('path,label\n"a.png,1\n', ("end of data", "CSV")),
    }  # fmt: skip
    for index, (name, (text, says)) in enumerate(tables.items()):
        path = folder / f"{index}.csv"
        path.write_text(text)
        yield Case(
            "labels", f"a table with {name}", lambda path=path: open_images(path, size=8), (str(path), *says)
        )
    truths = {"letters": "a\n", "0": "0\n", "1001": "1001\n", "nothing": "", "a negative": "-5\n"}
    for name, text in truths.items():
        root = folder / f"imagenet {name}"
        root.mkdir()
        (root / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"")
        (root / "ILSVRC2012_validation_ground_truth.txt").write_text(text)
        says = (str(root), "line 1", f"'{text.strip()}'", "1 to 1000") if text else ("00000001.JPEG", "0")
        yield Case(
            "labels",
            f"a ground truth of {name}",
            lambda root=root: open_images(f"imagenet:{root}", size=8),
            says,
        )


def image_specs(folder: Path) -> Iterator[Case]:
    (folder / "file.png").write_bytes(b"")
    (folder / "empty").mkdir()
    (folder / "hole" / "a").mkdir(parents=True)
    (folder / "hole" / "b").mkdir()
    (folder / "hole" / "b" / "1.png").write_bytes(b"")
    (folder / "latin.csv").write_bytes("path\ncafé".encode("latin-1"))
    (folder / "bad.parquet").write_bytes(b"PAR1")
    specs: dict[str, list[str | tuple[str, str]]] = {  # by what is allowed instead
        "imagenet:ROOT, hf:DATASET": ["nowhere", "a\0b"], "folder, or sample": ["x" * 5000], "table (.csv": [f"{folder}/file.png"], ".jpeg": [f"{folder}/empty"],
        "(a)": [f"{folder}/hole"], "class": [("", ".")], "imagenet:/data/imagenet": ["imagenet:", "imagenet:nowhere"], "n01440764": [(f"imagenet:{folder}", str(folder))],
        "imagenet:...": ["imagnet:x"], "hf:cifar10": ["hf:", "hf::test"], "EmptyDatasetError": [f"hf:{folder}/empty"],
        "empty:test": [f"hf:{folder}/empty:test?image=a"], "config, image, label, streaming": [("hf:x?nothing=1", "'nothing'")], "value": [("hf:x?image=", "x?image=")],
        "must be sample": ["sample:2"], "path": ["nowhere.csv", "nowhere.parquet"], "UTF-8": [f"{folder}/latin.csv"],
        "Parquet": [f"{folder}/bad.parquet"], "path=": [f"{folder}/latin.csv?path"],
    }  # fmt: skip
    for spec, got, allowed in rows(specs):
        yield Case("image specs", spec[:40], lambda spec=spec: open_images(spec, size=8), (got, allowed))
    yield Case("image specs", "a number", lambda: open_images(3, size=8), ("int", "ImageSet.from_arrays"))
    for size in (0, -1, (8,), "224", None, (8, 0)):
        says = (str(size), "(height, width)")
        yield Case("image specs", f"size {size!r}", lambda size=size: open_images("sample", size=size), says)
    for limit in (0, -3):
        yield Case(
            "image specs",
            f"limit {limit}",
            lambda limit=limit: open_images("sample", size=8, limit=limit),
            (str(limit), "1"),
        )


# ------------------------------------------------------------------------------- views and claims


def views(folder: Path) -> Iterator[Case]:
    texts: dict[str, tuple[int, str, str]] = {  # the column, what was got, what is allowed
        "": (1, "the end", "JPG"), " ": (2, "the end", "JPG"), "y": (1, "'y'", "JPG"), "X": (1, "'X'", "x, APGD, Adv"), "adv_1": (1, "'adv'", "Adv"),
        "Adv": (4, "epsilon", "Adv_1"), "Adv_": (5, "the end", "number"), "Adv_0": (5, "0", "1 to 255"), "Adv_256": (5, "256", "1 to 255"),
        "Adv_1.5": (5, "1.5", "1 to 255"), "Adv_-1": (5, "'-'", "number"), "Adv_1e3": (6, "'e'", "the end"), "Adv_1(x": (8, "the end", "')'"),
        "Adv_1)x": (6, "')'", "the end"), "Adv_1(x))": (9, "')'", "the end"), "Adv_1(x x)": (9, "'x'", "')'"), "Adv_1[": (7, "the end", "option"),
        "Adv_1[]": (7, "']'", "option"), "Adv_1[label]": (12, "']'", "'='"), "Adv_1[label=]": (13, "']'", "label"),
        "Adv_1[label=topp]": (13, "topp", "top, true"), "Adv_1[lable=top]": (7, "'lable'", "label"), "Adv_1[label=top,label=top]": (17, "'label'", "twice"),
        "Adv_1[through=Blur]": (15, "'Blur'", "JPG"), "JPG_0": (5, "0", "1 to 100"), "JPG_101": (5, "101", "1 to 100"), "JPG_50.5": (5, "50.5", "1 to 100"),
        "JPEG": (1, "'JPEG'", "JPG"), "JPG(JPG": (8, "the end", "')'"), "JPG_noise_0": (11, "0", "1 to 100"), "Noise": (6, "epsilon", "Noise_1"),
        "Noise_300": (7, "300", "1 to 255"), "x(Adv_1)": (2, "'('", "the end"), "JPG(;)": (5, "';'", "JPG"), "Adv_1;x": (6, "';'", "the end"),
        "Adv_١": (5, "'١'", "number"), "Adv_1\0": (6, r"'\x00'", "the end"), "JPG(" * 60 + "x" + ")" * 60: (201, "steps", "50"), "💥": (1, "'💥'", "JPG"),
        "a" * 5000: (1, "a" * 40, "JPG"), "__import__('os')": (1, "'_'", "JPG"), "Adv_1(x)#": (9, "'#'", "the end"), "Adv__1": (5, "'_'", "number"),
        "Adv_1_1": (6, "'_'", "the end"), "JPG(Adv_1),x": (11, "','", "the end"),
    }  # fmt: skip
    for text, (column, *says) in texts.items():
        yield Case("views", repr(text)[:40], lambda text=text: parse(text), (f"column {column})", *says))


def claims(folder: Path) -> Iterator[Case]:
    a, sign, end = "accuracy", ">=, >, <=, <", "the end"
    texts: dict[str, tuple[int, str, str]] = {  # the column, what was got, what is allowed or wrong with it
        "": (1, end, a), f"{a}(x)": (12, end, sign), f"{a}(x) >=": (15, end, a), ">= 0.5": (1, "'>'", a), f"{a}(x) >= 0.5 >= 0.1": (20, "one", "two"),
        f"{a}(x) == 0.5": (13, "'=='", sign), f"{a}(x) = 0.5": (13, "'='", sign), f"{a}(x) != 0.5": (13, "'!='", sign), "acuracy(x) >= 0.5": (1, "'acuracy'", a),
        f"{a} >= 0.5": (10, "'>'", "'('"), f"{a}() >= 0.5": (10, end, "JPG"), f"{a}(y) >= 0.5": (10, "'y'", "JPG"), f"{a}(x >= 0.5": (9, "'('", "closed"),
        f"{a}(x)) >= 0.5": (12, "')'", sign), f"{a}(x) >= 60 %%": (20, "'%'", end), f"{a}(x) >= 60": (13, "60", "between 0 and 1"),
        f"{a}(x) >= -1": (13, "-1", "between 0 and 1"), "0.5 >= 0.4": (5, "0.5 >= 0.4", "measure"), f"{a}(x) * {a}(x) >= 0.5": (13, f"{a}(x)", "weighted sum"),
        f"{a}(x) / 0 >= 0.5": (13, "0", "division"), f"1 / {a}(x) >= 0.5": (3, f"{a}(x)", "recovery"), "recovery(x) >= 0.5": (10, "recovery(x)", "JPG(Adv_1)"),
        "recovery(Adv_1) >= 0.5": (10, "recovery(Adv_1)", "JPG(Adv_1)"), f"{a}(x) >= 1e999": (16, "1e999", "large"), f"{a}(x) >= nan": (16, "'nan'", a),
        f"{a}(x) >= 0x1": (17, "'x'", end), f"{a}(x) and kept(x) >= 1": (13, "'a'", sign), f"{a}(JPG(Adv_)) >= 0.5": (18, "')'", "number"),
        f"{a}(x) >= {a}(x)": (13, f"{a}(x) >= {a}(x)", "measure"), "__import__('os').system('true') >= 0": (1, "'__import__'", a),
        "(" * 80 + f"{a}(x)": (51, "parentheses", "50"), f"{a}(x) >= 0.5; rm": (19, "';'", end), f"{a}(x)\n>= ": (4, "line 2", a),
        f"{a}[x] >= 0.5": (9, "'['", "'('"), "ACCURACY(x) >= 0.5": (1, "'ACCURACY'", a), f"{a}(x) ≥≥ 0.5": (13, "'≥≥'", sign),
    }  # fmt: skip
    for text, (column, *says) in texts.items():
        yield Case(
            "claims", repr(text)[:40], lambda text=text: parse_claim(text), (f"column {column})", *says)
        )


def claim_files(folder: Path) -> Iterator[Case]:
    contents: dict[str, tuple[bytes, int, str, str]] = {  # the line, what was got, what is allowed
        "bad TOML": (b"[claims", 1, "']'", "table"), "no claims": (b"", 1, "no claims", "[claims]"), "claims that is a number": (b"claims = 3", 1, "claims", "[claims]"),
        "a number as claim": (b"[claims]\na = 3", 2, "got 3", "accuracy(x) >= 0.5"), "a bad claim": (b"[claims]\na = 'accuracy(x) > '", 2, "column 15", "accuracy"),
        "a table without claim": (b"[claims.a]\nalpha = 0.1", 1, "'a'", 'claim = "accuracy(x) >= 0.5"'),
        "an unknown setting": (b"[claims.a]\nclaim = 'accuracy(x) > 0.5'\nalhpa = 0.1", 3, "'alhpa'", "'alpha'"),
        "alpha 2": (b"alpha = 2\n[claims]\na = 'kept(x) > 0'", 1, "2", "between 0 and 1"),
        "alpha in words": (b"alpha = 'small'\n[claims]\na = 'kept(x) > 0.1'", 1, "'small'", "number"),
        "family of another name": (b"family = 'bonferoni'\n[claims]", 1, "'bonferoni'", "none, holm"),
        "tolerance -1": (b"tolerance = -1\n[claims]\na = 'kept(x) > 0.1'", 1, "-1", ">= 0 and < 1"), "Latin-1": (b"[claims]\n# caf\xe9", 1, "0xe9", "UTF-8"),
        "bytes": (bytes(range(256)), 1, "0x80", "UTF-8"), "a name twice": (b"[claims]\na = 'kept(x) > 0.1'\na = 'kept(x) > 0.2'", 3, "name", "twice"),
        "about the moon": (b"about = 'moon'\n[claims]\na = 'kept(x) > 0.1'", 1, "'moon'", "testset, population"),
        "a list of claims": (b"[[claims]]\na = 1", 1, "claims", "[claims]"), "an unknown table": (b"[claim]\na = 'kept(x) > 0.1'", 1, "'claim'", "'claims'"),
    }  # fmt: skip
    for index, (name, (content, line, *says)) in enumerate(contents.items()):
        path = folder / f"{index}.toml"
        path.write_bytes(content)
        yield Case("claim files", name, lambda path=path: read_claims(path), (f"{path}:{line}:", *says))
    nowhere = folder / "nowhere.toml"
    yield Case("claim files", "no file", lambda: read_claims(nowhere), (str(nowhere), "No such file"))
    yield Case("claim files", "a folder", lambda: read_claims(folder), (str(folder), "folder"))


# ---------------------------------------------------------------------------- records and baselines


def some_records() -> Records:
    count = 4
    columns = {
        "prediction": np.array([0, 1, 2, 1]), "correct": np.array([1.0, 1, 0, 1]), "p_top": np.array([0.9, 0.8, 0.7, 0.6]),
        "kept": np.ones(count), "linf": np.zeros(count), "l2": np.zeros(count), "rising": np.zeros(count),
    }  # fmt: skip
    names = tuple(f"{index}.png" for index in range(count))
    adv = {**columns, "linf": np.ones(count), "l2": np.full(count, 2.0), "rising": np.full(count, np.nan)}
    return Records(
        ("a", "b", "c", "d"),
        names,
        np.array([0, 1, 0, 1]),
        {X: as_rows(columns), parse("Adv_1"): as_rows(adv)},
        Provenance.from_header({"model": "toy"}),
    )


def records(folder: Path) -> Iterator[Case]:
    whole = dumps(some_records())
    first, row = whole.splitlines()[0], "0,img:a,img:0.png,0,0,x,0,1.0,0.9,1.0,0.0,0.0,0.0,"
    adv, cut = "0,img:a,img:0.png,0,0,Adv_1,0,1.0,0.9,1.0,1.0,2.0,,", ",img:0.png,0,0,x,0,"
    assert row in whole
    assert adv in whole

    def cell(old: str, new: str, where: str = row) -> str:
        """The text with a cell of the first image changed."""
        assert old in where, (old, where)
        return whole.replace(where, where.replace(old, new, 1), 1)

    changes: dict[str, tuple[str, ...]] = {  # the text, and what its message names: the place, the value, what belongs there
        "nothing": ("", "line 1", "image,id,name"), "text": ("hello", "line 1", "image,id,name", "'hello'"),
        "an earlier version": ("# robustcheck records 1\n# {}\nid\n", "earlier version", "versions 2 and 3"),
        "another version": (whole.replace('""format"": 3', '""format"": 9', 1), "version 9", "versions 2 and 3"),
        "a version that its columns are not of": (whole.replace('""format"": 3', '""format"": 2', 1), "line 1", "version 2"), "a version in words": (whole.replace('""format"": 3', '""format"": ""3""', 1), "version '3'", "versions 2 and 3"),
        "a loss that rose twice": (cell(",0.0,0.0,0.0,", ",0.0,0.0,2.0,"), "'rising'", "2.0", "0 to 1"),
        "a header that is no JSON": (whole.replace('"{""', '"{{""', 1), "line 2", "'run'", "column 2"), "no header": (re.sub(r'"\{.*\}"', "", whole), "line 2", "'run'"),
        "a header that is a list": (whole.replace('"{""format', '"[{""format', 1).replace('}"', '}]"', 1), "'run'", "object"),
        "no views": (whole.replace('""views""', '""vews""', 1), "header", "'views'", "list"), "no clean images": (whole.replace('""x""', '""JPG""', 1), "clean images", "x"),
        "a view that can't be read": (whole.replace('""Adv_1""', '""Adv_""', 1), "Adv_", "column 5", "number"),
        "views that are numbers": (whole.replace('""Adv_1""', "3", 1), "'views'", "list of texts"), "a view twice": (whole.replace('""Adv_1""', '""x""', 1), "view", "twice"),
        "a view of none": (cell("Adv_1", "Adv_9", adv), "row 5", "'Adv_9'", "x, Adv_1"),
        "no number of images": (whole.replace('""images"": 4', '""images"": ""4""', 1), "'images'", "integer >= 1", "'4'"), "no images": (whole.replace('""images"": 4', '""images"": 0', 1), "'images'", ">= 1", "0"),
        "too many images": (whole.replace('""images"": 4', '""images"": 99999999999', 1), "99,999,999,999", "input-limits"),
        "a column less": (whole.replace(",linf", "", 1), "line 1", "linf"), "columns in another order": (whole.replace("id,name", "name,id", 1), "line 1", "id,name"),
        "a cell less": (cell(",0.0,0.0,", ",0.0,"), "line 2", "14 cells", "13"), "a cell more": (cell(",0.0,0.0,", ",0.0,0.0,0.0,"), "line 2", "14 cells", "15"),
        "an image of words": (cell("0,img:a", "one,img:a"), "row 1", "'image'", "integer", "'one'"), "an image outside the set": (cell("0,img:a", "7,img:a"), "row 1", "'image'", "4 of the set", "7"),
        "an image twice": (cell("0,img:a", "1,img:b").replace(",img:0.png,0,0,x", ",img:1.png,1,1,x", 1), "two rows"),
        "a label in words": (cell(cut, ",img:0.png,cat,0,x,0,"), "'label'", "'cat'", "integer"), "a label of -7": (cell(cut, ",img:0.png,-7,0,x,0,"), "'label'", "-7", "index"),
        "two labels": (cell(cut, ",img:0.png,1,0,x,0,"), "'label'", "same in all rows"), "two names": (cell("0.png", "7.png"), "'name'", "same in all rows"),
        "a name without prefix": (cell("img:0.png", "0.png"), "'name'", "img:", "'0.png'"), "an id without prefix": (cell("img:a", "a"), "'id'", "img:", "'a'"),
        "a prediction in words": (cell("x,0,", "x,zero,"), "'prediction'", "'zero'", "integer"), "a prediction of half": (cell("x,0,", "x,0.5,"), "'prediction'", "'0.5'", "integer"),
        "a prediction of -4": (cell("x,0,", "x,-4,"), "'prediction'", "-4", "class index"), "no prediction": (cell("x,0,", "x,,"), "'prediction'", "integer", "''"),
        "a probability of 7": (cell(",0.9,", ",7.0,"), "'p_top'", "7.0", "0 to 1"), "a probability in words": (cell(",0.9,", ",much,"), "'p_top'", "'much'", "number"),
        "a probability NaN": (cell(",0.9,", ",nan,"), "'p_top'", "'nan'", "number"), "no probability": (cell(",0.9,", ",,"), "'p_top'", "0 to 1"),
        "an infinite distance": (cell(",1.0,2.0,", ",1.0,inf,", adv), "'l2'", "'inf'", "number"), "a distance of -1": (cell(",1.0,2.0,", ",-1.0,2.0,", adv), "'linf'", "-1.0", "0 to 255"),
        "correct by half of nothing": (cell("x,0,1.0", "x,0,"), "'correct'", "0 to 1"), "cut off": (whole[:-1], "cut off"), "cut off in a row": (whole[:-9] + "\n", "cells"), "cut off behind a row": ("".join(whole.splitlines(keepends=True)[:-2]), "cut off", "8 rows", "6"),
        "the first line alone": (f"{first}\n", "no images"), "a zero byte": (cell("img:a", "img:\0a"), "records"),
    }  # fmt: skip
    for name, (text, *says) in changes.items():
        assert text != whole, name
        yield Case("records", name, lambda text=text: loads(text), ("records", "save the baseline", *says))
    for measure, view, *says in (
        ("acuracy", "x", "'acuracy'", "'accuracy'"),
        ("kept", "Adv_2", "'Adv_2'", "Adv_1, x"),
        ("kept", "Adv_", "the end", "column 5"),
        ("", "x", "''", "accuracy"),
    ):
        yield Case(
            "records",
            f"{measure} of {view}",
            lambda measure=measure, view=view: some_records().column(measure, view),
            tuple(says),
        )


def baselines(folder: Path) -> Iterator[Case]:
    names = [
        "../../x", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "con", "CON", "nul.txt", "COM1", "lpt9", "aux.v1", "-rf", ".hidden",
        "a b", "a\0b", "x" * 200, "é", "a:b", "v1.", "~", "$HOME", "a\nb",
    ]  # fmt: skip
    for name in names:
        reserved = re.match(r"(con|nul|com\d|lpt\d|aux)\b", name, re.IGNORECASE)
        says = (shown(name), "letters, digits", "Windows" if reserved else "not a path")
        yield Case("baselines", f"name {name[:20]!r}", lambda name=name: path_of(name, folder), says)
    inner = folder / "robustcheck-baselines"
    inner.mkdir()
    (inner / "junk.csv").write_bytes(b"\xff\xfe junk")
    (inner / "empty.csv").write_text("")
    (inner / "failed.csv").write_text(dumps(some_records(), {"integrity tests failed": ["chance"]}))
    (inner / "good.csv").write_text(dumps(some_records()))
    (inner / "folder.csv").mkdir()
    reads = {
        "junk": ("junk.csv", "utf-8"),
        "empty": ("empty.csv", "line 1"),
        "failed": ("failed.csv", "chance"),
        "folder": ("folder", "good"),
        "godo": ("'godo'", "'good'"),
        str(inner): (str(inner)[:60], "good"),  # of a long name the beginning is shown
        "../robustcheck-baselines/empty.csv": ("../robustcheck-baselines/empty.csv", "good"),
    }
    for name, says in reads.items():
        yield Case("baselines", f"read {name[:30]}", lambda name=name: Baseline.read(name, folder), says)
    baseline = Baseline.read("good", folder)
    ids, labels_then, same = (
        ("a", "b", "c", "d"),
        np.array([0, 1, 0, 1]),
        Provenance.from_header({"model": "toy"}),
    )
    seed = Provenance.from_header({"model": "toy", "seed": "3"})
    codec = Provenance.from_header({"model": "toy", "codec": "JPEG 4:4:4"})
    wrong: dict[str, tuple[tuple[Any, ...], tuple[str, ...]]] = {
        "other images": (("accuracy", X, ("a", "b", "c", "e"), labels_then, same), ("good.csv", "1 of the baseline's 4 images", "1 of the 4 images here")),
        "fewer images": (("accuracy", X, ids[:3], labels_then[:3], same), ("good.csv", "1 of the baseline's 4 images")),
        "other labels": (("accuracy", X, ids, labels_then + 1, same), ("good.csv", "4 of 4")),
        "another view": (("accuracy", parse("Adv_2"), ids, labels_then, same), ("good.csv", "'Adv_2'", "Adv_1, x")),
        "another measure": (("acuracy", X, ids, labels_then, same), ("'acuracy'", "'accuracy'")),
        "another seed": (("accuracy", X, ids, labels_then, seed), ("good.csv", "seed", "'3'")),
        "another codec": (("accuracy", X, ids, labels_then, codec), ("good.csv", "codec", "'JPEG 4:4:4'")),
    }  # fmt: skip
    for name, (arguments, says) in wrong.items():
        yield Case(
            "baselines", f"against {name}", lambda arguments=arguments: baseline.column(*arguments), says
        )


# ------------------------------------------------------------------------------------------ options


def command_lines() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Options that are refused before a test runs, and what their messages hold."""
    wrong = {
        "limit": ["0", "-1", "x", "1.5", "٣", "1e3", "9" * 5000], "batch-size": ["0", "many"], "seed": ["-1", "x", "0.5"],
        "budget": ["0", "all"], "alpha": ["0", "1", "5", "-0.1", "nan", "small", "5%"], "suite": ["jpg-study", "JPEG-STUDY"],
        "findings": ["fail", "yes"], "bad-images": ["ignore", "Skip"],
    }  # fmt: skip
    for name, values in wrong.items():
        flag = f"--robustcheck-{name}"
        yield from ((f"{flag}={value}", (flag, shown(value, 20))) for value in values)
    for name in ("../../x", "/x", "con", "a/b", ".", "a b"):
        yield f"--robustcheck-save={name}", ("baseline", f"got '{name}'", "letters, digits")
    for name in ("nowhere", "../../../etc/passwd"):  # from a folder of pytester's
        yield f"--robustcheck-compare={name}", ("baseline", f"'{name}'", "--robustcheck-save=NAME")
    yield from ((f"{option.flag}=", (option.flag,)) for option in OPTIONS if option.metavar is not None)
    for typed, meant in (
        ("modle", "model"),
        ("image", "images"),
        ("bad-image", "bad-images"),
        ("stop-erly", "stop-early"),
    ):
        yield f"--robustcheck-{typed}=x", (f"--robustcheck-{typed}", f"'--robustcheck-{meant}'")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        outcomes = [outcome(case) for case in cases(Path(made))]
    for kind, number in Counter(each.case.kind for each in outcomes).items():
        failed = [each for each in outcomes if each.case.kind == kind and each.problem]
        sys.stdout.write(f"{kind:<12} {number:>4}   {number - len(failed)} ended in our error\n")
        sys.stdout.writelines(f"    {each.case.name}: {each.problem}\n" for each in failed)
    sys.stdout.write(f"{len(outcomes)} inputs, {sum(bool(each.problem) for each in outcomes)} problems\n")
