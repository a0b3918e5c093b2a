"""What counts as other code, and what does not."""

import functools
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from robustcheck.models.code_digest import digest_of, digest_of_module

ROOT = Path(__file__).parents[2]


def made(source, name="step"):
    """Return a function of a module that was written so."""
    space = {"__name__": "somebodys"}
    exec(textwrap.dedent(source), space)
    return space[name]


STEP = """
    SCALE = 2

    def helper(images):
        return images * SCALE

    def step(images, *, size=3):
        return helper(images) + size
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ size", "- size"),
        ("size=3", "size=4"),
        ("images * SCALE", "images / SCALE"),
        ("SCALE = 2", "SCALE = 3"),
    ],
)
def test_what_the_function_does_counts_and_all_that_it_calls(old, new):
    assert digest_of(made(STEP)) is not None
    assert digest_of(made(STEP)) != digest_of(made(STEP.replace(old, new)))


def test_comments_lines_and_other_functions_do_not_count():
    other = "\n\n# a comment\ndef other(): return 1\n" + textwrap.dedent(STEP).replace(
        "SCALE\n", "SCALE  # so\n", 1
    )
    assert digest_of(made(STEP)) == digest_of(made(other))


def test_it_is_the_same_in_every_process():
    code = """
from tests.models.test_code_digest import *
print(digest_of(made(STEP)), digest_of(made("def step(word): return word in {'a', 'b', 'c', 'd'}")))
"""
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_closures_partials_and_tensors_count():
    def close(value):
        def step(images):
            return images + value

        return step

    assert digest_of(close(1)) == digest_of(close(1)) != digest_of(close(2))
    assert digest_of(close([1, 2])) != digest_of(close([1, 3]))
    assert (
        digest_of(close(torch.zeros(3)))
        == digest_of(close(torch.zeros(3)))
        != digest_of(close(torch.ones(3)))
    )
    assert digest_of(functools.partial(close(1), 5)) != digest_of(functools.partial(close(1), 6))
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    assert digest_of(close(one)) == digest_of(close(one)) != digest_of(close(other))


def test_of_what_can_not_be_known_there_is_no_digest():
    secret = object()
    assert digest_of(lambda images: (images, secret)) is None


class Net(nn.Module):
    def __init__(self, quality=75):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1, stride=2)
        self.quality = quality

    def forward(self, images):
        return self.layer(images) + self.quality


def test_settings_of_layers_count_and_weights_do_not():
    assert digest_of_module(Net()) == digest_of_module(Net())
    assert digest_of_module(Net()) != digest_of_module(Net(quality=76))
    other = Net()
    other.layer.stride = (1, 1)
    assert digest_of_module(Net()) != digest_of_module(other)
    assert digest_of_module(Net().train()) == digest_of_module(Net().eval())


def test_a_forward_that_was_put_in_its_place_and_hooks_count():
    patched, hooked = Net(), Net()
    patched.forward = lambda images: images
    hooked.layer.register_forward_hook(lambda module, args, output: output * 2)
    assert len({digest_of_module(net) for net in (Net(), patched, hooked)}) == 3


def test_running_a_network_changes_nothing():
    net, seen = Net(), []
    net.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    before = digest_of_module(net)
    net(torch.zeros(1, 3, 4, 4))
    assert seen
    assert digest_of_module(net) == before
