"""Philox4x32-10: the published answers, the same integers by numpy and by Triton, and what is drawn from them."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from robustcheck.attacks.philox import normals, permutations, philox, random_words, signs, uniforms

CPU = torch.device("cpu")

# Random123's kat_vectors, the lines "philox4x32 10": counter, key, result.
KNOWN = """
00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
"""


@pytest.mark.parametrize("line", KNOWN.strip().splitlines())
def test_answers_of_random123(line):
    given = [torch.tensor([int(word, 16)]) for word in line.split()]
    assert [int(word) for word in philox(tuple(given[:4]), tuple(given[4:6]))] == [int(w) for w in given[6:]]


def by_numpy(seed, count):
    """The same function in unsigned arithmetic of numpy."""
    low = np.uint64(0xFFFFFFFF)
    multiply = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
    counter = np.zeros((4, -(-count // 4)), dtype=np.uint64)
    counter[0] = np.arange(counter.shape[1])
    key = [np.uint64(seed) & low, np.uint64(seed) >> np.uint64(32)]
    for _ in range(10):
        even, odd = counter[0] * multiply[0], counter[2] * multiply[1]
        upper = [odd >> np.uint64(32), even >> np.uint64(32)]
        counter = np.stack(
            [upper[0] ^ counter[1] ^ key[0], odd & low, upper[1] ^ counter[3] ^ key[1], even & low]
        )
        key = [(key[0] + np.uint64(0x9E3779B9)) & low, (key[1] + np.uint64(0xBB67AE85)) & low]
    return counter.reshape(-1)[:count].astype(np.int64)


SEEDS = [0, 1, 2**32 - 1, 2**32, 2**63 + 12345, 2**64 - 1]


@pytest.mark.parametrize("count", [1, 4, 301, 70_000])
def test_numpy_draws_the_same(count):
    found = random_words(SEEDS, count, CPU)
    for row, seed in zip(found, SEEDS, strict=True):
        np.testing.assert_array_equal(row.numpy(), by_numpy(seed, count))


BY_TRITON = """
import torch, triton, triton.language as tl
from robustcheck.attacks.philox import random_words

@triton.jit
def draw(out, seed, count, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    a, b, c, d = tl.randint4x(seed, at)
    tl.store(out + at, a, at < count)
    tl.store(out + count + at, b, at < count)
    tl.store(out + 2 * count + at, c, at < count)
    tl.store(out + 3 * count + at, d, at < count)

for seed in (0, 1, 2**32 - 1, 2**40 + 7, 2**63 - 1):
    found = torch.empty(4 * 100, dtype=torch.int32)
    draw[(1,)](found, seed, 100, BLOCK=128)
    assert torch.equal(found, random_words([seed], 400, torch.device("cpu"))[0].to(torch.int32)), seed
print("equal")
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="the package triton is not installed")
def test_triton_draws_the_same(tmp_path):
    script = tmp_path / "draw.py"  # Triton reads a kernel's source from its file
    script.write_text(BY_TRITON)
    run = subprocess.run(
        [sys.executable, script],
        capture_output=True, text=True, check=False, env={**os.environ, "TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert (run.stdout.strip(), run.returncode) == ("equal", 0), run.stdout + run.stderr[-2000:]


@pytest.mark.parametrize("draw", [random_words, uniforms, signs, normals, permutations])
@pytest.mark.parametrize("count", [1, 33, 3 * 224 * 224])
def test_a_row_depends_on_its_seed_alone(draw, count):
    rows = draw([5, 6, 7, 5], count, CPU)
    assert rows.shape == (4, count)
    assert torch.equal(rows[2:], draw([7, 5], count, CPU))
    assert torch.equal(rows[0], rows[3])
    assert count == 1 or not torch.equal(rows[0], rows[1])


def test_what_is_drawn_is_distributed_as_it_says():
    even, normal, sign = (draw([3], 200_000, CPU)[0].double() for draw in (uniforms, normals, signs))
    assert 0 <= even.min() < 1e-4
    assert 1 - 1e-4 < even.max() < 1
    assert abs(even.mean() - 0.5) < 4 * (1 / 12 / 200_000) ** 0.5
    assert abs(normal.mean()) < 4 / 200_000**0.5
    assert abs(normal.std() - 1) < 0.01
    assert abs((normal.abs() < 1).double().mean() - 0.6827) < 0.005
    assert 4 < normal.abs().max() < 4.4
    assert sign.unique().tolist() == [-1, 1]
    assert abs(sign.mean()) < 4 / 200_000**0.5
    assert abs((sign[1:] * sign[:-1]).mean()) < 4 / 200_000**0.5


def test_permutations_are_permutations_and_all_are_drawn_alike():
    assert torch.equal(permutations([1], 1000, CPU)[0].sort().values, torch.arange(1000))
    drawn = permutations(range(6000), 3, CPU)
    counts = torch.unique(drawn, dim=0, return_counts=True)[1]
    assert len(counts) == 6
    assert ((counts - 1000).abs() < 4 * (1000 * 5 / 6) ** 0.5).all()
