"""Count the samples in which the codecs differ from the installed Pillow, over many random cases.

    python -m robustcheck.jpeg.verify --cases 20000 --seed 0

Each case draws a size from 1x1 to 70x70 (one in fifty up to 375x500), a quality, a subsampling and a kind of
image, and is written and read by Pillow alone. It exits with 1 if any sample differs. With the environment
variable TRITON_INTERPRET=1, or on CUDA, `--codec triton` checks the kernels in the same way.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robustcheck.jpeg import pillow
from robustcheck.jpeg.pillow import Pixels
from robustcheck.jpeg.registry import CODECS
from robustcheck.jpeg.roundtrip import roundtrip
from robustcheck.jpeg.tables import SUBSAMPLINGS
from robustcheck.text import printable


@dataclass(frozen=True)
class Case:
    """A picture and the settings to code it with."""

    pixels: Pixels
    quality: int
    subsampling: str
    kind: str


def random_case(rng: np.random.Generator) -> Case:
    """Draw a case: half of all sides are 1 to 17, where the edge rules are."""
    largest = 17 if rng.random() < 0.5 else 70
    height, width = (int(side) for side in rng.integers(1, largest + 1, 2))
    if rng.random() < 0.02:
        height, width = int(rng.integers(71, 376)), int(rng.integers(71, 501))
    kind = str(rng.choice(list(_KINDS)))
    pixels = _KINDS[kind](rng, height, width).clip(0, 255).astype(np.uint8)
    return Case(pixels, int(rng.integers(1, 101)), str(rng.choice(list(SUBSAMPLINGS))), kind)


def differing_samples(case: Case, codec: str, device: str = "cpu") -> int:
    """In how many samples `codec` differs from Pillow."""
    batch = torch.from_numpy(case.pixels).permute(2, 0, 1)[None].to(device)
    result = roundtrip(batch, quality=case.quality, subsampling=case.subsampling, codec=codec)[0]
    expected = pillow.by_pillow(case.pixels, case.quality, case.subsampling)
    return int((result.permute(1, 2, 0).cpu().numpy() != expected).sum())


def _noise(rng: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    return rng.integers(0, 256, (height, width, 3)).astype(np.float64)


def _flat(rng: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    return np.broadcast_to(rng.integers(0, 256, 3), (height, width, 3)).astype(np.float64)


def _saturated(rng: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    return 255.0 * (rng.random((height, width, 3)) < rng.random())


def _checkerboard(rng: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    size = int(rng.integers(1, 9))
    y, x = np.mgrid[:height, :width] // size
    dark = (x + y)[..., None] % 2 == 0
    return np.where(dark, rng.integers(0, 256, 3), rng.integers(0, 256, 3)).astype(np.float64)


def _waves(rng: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    """Smooth slopes and waves with a little noise, as photographs have."""
    y, x = np.mgrid[:height, :width][..., None] / 16
    fx, fy, phase = rng.normal(0, 1, (3, 3))
    slope = rng.uniform(0, 255, 3) + 20 * (fx * x - fy * y)
    noise = rng.normal(0, rng.uniform(0, 12), (height, width, 3))
    waves: NDArray[Any] = slope + 60 * np.sin(fx * x + fy * y + phase) + noise
    return waves


_KINDS = {kind.__name__[1:]: kind for kind in (_noise, _flat, _saturated, _checkerboard, _waves)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m robustcheck.jpeg.verify", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--codec", choices=("auto", *CODECS), default="tensor")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)

    rng = np.random.default_rng(options.seed)
    started, samples, differing, wrong = time.perf_counter(), 0, 0, 0
    for _ in range(options.cases):
        case = random_case(rng)
        found = differing_samples(case, options.codec, options.device)
        samples, differing, wrong = samples + case.pixels.size, differing + found, wrong + bool(found)
        if found and wrong <= 10:
            height, width, _ = case.pixels.shape
            _say(f"{found} differ: {case.kind} {height}x{width}, quality {case.quality}, {case.subsampling}")
    _say(f"codec {options.codec} on {options.device} against {pillow.library()}, seed {options.seed}:")
    _say(f"{differing} differing samples of {samples:,} in {options.cases:,} cases ({wrong} cases differ)")
    _say(f"{time.perf_counter() - started:.0f} s")
    return int(differing > 0)


def _say(line: str) -> None:
    sys.stdout.write(f"{printable(line)}\n")


if __name__ == "__main__":
    sys.exit(main())
