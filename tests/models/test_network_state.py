"""What counts as the same network in the record store, and of what nothing is kept."""

import argparse
import ast
import functools
import importlib
import io
import random
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robustcheck.models import Classifier
from robustcheck.models.network_state import UnknownState, torch_flags, value_digest

ROOT = Path(__file__).parents[2]


@dataclass
class Settings:
    temperature: float


class Colour(Enum):
    RED = 1
    BLUE = 2


class Net(nn.Module):
    def __init__(self, setting=None):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 3, 1, stride=2)
        self.setting = setting

    def forward(self, images):
        return self.layer(images).mean((2, 3))


def digest_of(net):
    return Classifier(net.eval(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=8, device="cpu").state_digest


SETTINGS = {
    "a number": (1, 2),
    "a close number": (1.0, 1.0000000000000002),
    "a type of number": (1, 1.0),
    "a text": ("a", "b"),
    "a tensor": (torch.zeros(2), torch.ones(2)),
    "a tensor's dtype": (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
    "a tensor's strides": (torch.zeros(2, 2), torch.zeros(2, 2).T.contiguous().T),
    "an array": (np.zeros(2), np.array([0, 1e-300])),
    "a list": ([1, [2, 3]], [1, [2, 4]]),
    "a tuple": ((1, 2), [1, 2]),
    "a dictionary": ({"temperature": 1.0}, {"temperature": 0.5}),
    "a key": ({"a": 1}, {"b": 1}),
    "a set": ({1, 2}, {1, 3}),
    "a queue": (deque([1]), deque([2])),
    "an ordered dictionary": (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    "a dataclass": (Settings(1.0), Settings(2.0)),
    "a namespace": (types.SimpleNamespace(a=1), types.SimpleNamespace(a=2)),
    "arguments": (argparse.Namespace(a=1), argparse.Namespace(a=2)),
    "a member of an enumeration": (Colour.RED, Colour.BLUE),
    "a dtype": (torch.float32, torch.float16),
    "a path": (Path("a"), Path("b")),
    "a partial": (functools.partial(torch.mul, 2), functools.partial(torch.mul, 3)),
    "a lambda": (lambda x: x + 1, lambda x: x + 2),
    "a function": (torch.relu, torch.sigmoid),
    "a class": (nn.ReLU, nn.GELU),
    "a network that is not a child": ([nn.Linear(2, 2)], [nn.Linear(2, 3)]),
}


@pytest.mark.parametrize(("one", "other"), SETTINGS.values(), ids=SETTINGS)
def test_every_attribute_counts(one, other):
    assert digest_of(Net(one)) == digest_of(Net(one)) != digest_of(Net(other))


def shaped(change):
    net = Net()
    change(net)
    return net


def closing_over(value):
    return lambda _module, _given, output: output * value


CHANGES = {
    "nothing": lambda net: None,
    "a layer's setting": lambda net: setattr(net.layer, "stride", (1, 1)),
    "a weight": lambda net: net.layer.weight.data.mul_(1.0000001),
    "a weight's strides": lambda net: setattr(net, "layer", net.layer.to(memory_format=torch.channels_last)),
    "a weight's dtype": lambda net: setattr(net, "tail", nn.Parameter(torch.zeros(1, dtype=torch.float64))),
    "a buffer in no state dict": lambda net: net.register_buffer("shift", torch.ones(1), persistent=False),
    "its other value": lambda net: net.register_buffer("shift", torch.zeros(1), persistent=False),
    "a hook": lambda net: net.layer.register_forward_hook(closing_over(1)),
    "what a hook closes over": lambda net: net.layer.register_forward_hook(closing_over(2)),
    "a pre-hook": lambda net: net.layer.register_forward_pre_hook(lambda _module, given: given),
    "a forward put in its place": lambda net: setattr(net, "forward", lambda images: images.mean((2, 3))),
    "another put in its place": lambda net: setattr(net, "forward", lambda images: images.amax((2, 3))),
    "another class": lambda net: setattr(net, "__class__", type("Net", (Net,), {})),
}


def test_every_change_counts():
    digests = {name: digest_of(shaped(change)) for name, change in CHANGES.items()}
    assert len({*digests.values()}) == len(CHANGES), digests
    assert digests == {name: digest_of(shaped(change)) for name, change in CHANGES.items()}


def test_mode_and_gradients_do_not_count():
    assert digest_of(Net().train()) == digest_of(Net().eval()) == digest_of(Net().requires_grad_(False))


def a_generator():
    yield 1


class Opaque:
    def __init__(self):
        self.lock = None


OPAQUE = {
    "an object": object,
    "an object of a class of one's own": Opaque,
    "an open file": io.BytesIO,
    "a generator of random numbers": random.Random,
    "numpy's": np.random.default_rng,
    "torch's": torch.Generator,
    "a generator": a_generator,
    "an iterator": lambda: iter([1]),
    "a lock": threading.Lock,
}


@pytest.mark.parametrize("make", OPAQUE.values(), ids=OPAQUE)
@pytest.mark.parametrize("place", ["attribute", "in a list", "in a dictionary", "in a closure"])
def test_what_can_not_be_compared_is_named(make, place):
    value = make()
    put = {
        "attribute": value,
        "in a list": [1, (value,)],
        "in a dictionary": {"key": value},
        "in a closure": lambda: value,
    }[place]
    with pytest.raises(UnknownState, match=r"Net\.setting.* is a \S+") as caught:
        digest_of(Net(put))
    assert caught.value.kind.rpartition(".")[2] == type(value).__name__


def test_what_a_forward_pass_writes_does_not_count():
    class Remembers(Net):
        def __init__(self):
            super().__init__()
            self.calls, self.seen, self.memory, self.scale = 0, [], {"scale": 2}, 3

        def forward(self, images):
            self.calls += 1
            self.seen.append(images.shape)
            self.last = self.memory["last"] = images.mean()
            return super().forward(images) * self.memory["scale"]

    fresh, used, other, third = Remembers(), Remembers(), Remembers(), Remembers()
    for _ in range(3):
        used(torch.rand(2, 3, 8, 8))
    other.memory["scale"] = 4
    third.scale = 4
    assert digest_of(fresh) == digest_of(used)
    assert len({digest_of(net) for net in (fresh, other, third)}) == 3


MODULE = """
from torch import nn
import torch
{imports}

SCALE = {scale}  {comment}


class Net(nn.Module):
    def forward(self, images):
        {inside}
        return images.mean((2, 3)) * SCALE
"""


def test_sources_of_the_project_count_and_those_that_they_import(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def digest(helper="x = 1", far="y = 1", **parts):
        given = {"imports": "import ahelper", "scale": 1, "comment": "", "inside": "", **parts}
        (tmp_path / "anet.py").write_text(MODULE.format(**given))
        (tmp_path / "ahelper.py").write_text(f"import bhelper\n{helper}")
        (tmp_path / "bhelper.py").write_text(far)
        for name in ("anet", "ahelper", "bhelper"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        importlib.import_module("bhelper")
        found = digest_of(importlib.import_module("anet").Net())
        sys.dont_write_bytecode = before
        return found

    same = digest()
    assert digest(comment="# a comment") == same
    later = {
        digest(scale=2),
        digest(helper="x = 2"),
        digest(far="y = 2"),
        digest(inside="import ahelper"),
        digest(inside="import bhelper", imports="", far="y = 3"),
    }
    assert len(later | {same}) == 6
    for name in ("anet", "ahelper", "bhelper"):
        sys.modules.pop(name, None)


def test_it_is_the_same_in_every_process():
    code = textwrap.dedent(
        """
        from tests.models.test_network_state import *
        net = Net({"words": {"a", "b", "c", "d"}, "f": lambda x: x in {"a", "b", "c"}})
        net.register_forward_hook(closing_over(3))
        print(digest_of(net))
        """
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code.replace("lambda x: x in", "None and")],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_of_a_function_what_it_closes_over_counts():
    def close(value):
        def step(images):
            return images + value

        return step

    assert value_digest(close(1)) == value_digest(close(1)) != value_digest(close(2))
    assert value_digest(close([1, 2])) != value_digest(close([1, 3]))
    assert value_digest(functools.partial(close(1), 5)) != value_digest(functools.partial(close(1), 6))
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    assert value_digest(close(one)) == value_digest(close(one)) != value_digest(close(other))
    with pytest.raises(UnknownState, match=r"closes over value is a builtins\.object"):
        value_digest(close(object()))


def test_code_without_a_source_can_not_be_compared():
    space = {"__name__": "somebodys"}
    exec("def step(images): return images", space)
    with pytest.raises(UnknownState, match="code without a file of source"):
        value_digest(space["step"])


def test_torch_s_global_flags_are_named():
    before = torch_flags()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch_flags() != before
    finally:
        torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch_flags() != before
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch_flags() == before


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_torchvision_s_networks_hold_nothing_else(name):
    import torchvision

    net = torchvision.models.get_model(name, weights=None).eval()
    made = Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=32, device="cpu")
    assert len(made.state_digest) == 32


@pytest.mark.parametrize(
    ("one", "other"),
    [("lambda x: x + 1", "lambda x: x - 1"), ("nested(1)", "nested(2)"), ("adding", "taking()")],
)
def test_functions_of_installed_packages_that_no_name_tells_apart_count_by_what_they_do(
    tmp_path, monkeypatch, one, other
):
    package = tmp_path / "site-packages"
    package.mkdir()
    name = f"installed_{tmp_path.name.replace('-', '_')}"
    (package / f"{name}.py").write_text(
        "def nested(number):\n    return lambda x: x + number\n"
        "def adding(x):\n    return x + 1\n"
        "def taking():\n    def adding(x):\n        return x - 1\n    return adding\n"
        f"def both():\n    return [{one}, {other}]\n"
    )
    monkeypatch.syspath_prepend(package)
    module = importlib.import_module(name)
    first, second = module.both()
    assert value_digest(first) == value_digest(module.both()[0])
    assert value_digest(first) != value_digest(second)


def test_sources_are_parsed_by_one_thread_at_a_time(tmp_path, monkeypatch):
    names = [f"own_module_{number}_parsed_beside_others" for number in range(4)]
    for number, name in enumerate(names):
        (tmp_path / f"{name}.py").write_text(f"def number():\n    return {number}\n")
    monkeypatch.syspath_prepend(tmp_path)
    functions = [importlib.import_module(name).number for name in names]
    parse, inside, most = ast.parse, [], []

    def slow(*given, **named):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        try:
            return parse(*given, **named)
        finally:
            inside.pop()

    monkeypatch.setattr(ast, "parse", slow)
    with ThreadPoolExecutor(4) as pool:
        digests = [*pool.map(value_digest, functions)]
    assert len(set(digests)) == 4
    assert max(most) == 1
