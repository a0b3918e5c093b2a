"""Images out of the pixel cache against the same decoded, in turns.

    pytest tests/benchmarks/test_pixel_cache.py -s

What counts is the median of the ratios. The files are in the page cache, as is the pixel cache: on a slow disk the
difference is another, since an image of 224x224 is 150 kB and its file some 110 kB.
"""

import statistics
import time

import numpy as np
import pytest
import torch
from PIL import Image

from robustcheck.images import PixelCache, open_images

COUNT, ROUNDS = 400, 5


@pytest.fixture(scope="module")
def photographs(tmp_path_factory, sample_images):
    """JPEG files of the usual size of ImageNet's, 500x375, made of the sample's pictures and noise."""
    folder, random = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    pictures = next(sample_images.batches(len(sample_images))).pixels.permute(0, 2, 3, 1).numpy()
    large = [np.asarray(Image.fromarray(each).resize((500, 375))).astype(int) for each in pictures]
    for index in range(COUNT):
        noisy = large[index % len(large)] + random.integers(-4, 5, (375, 500, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{index:04}.jpg", quality=92)
    return folder


def seconds(images):
    start = time.perf_counter()
    assert sum(len(batch) for batch in images.batches(64)) == COUNT
    return time.perf_counter() - start


@pytest.mark.parametrize("size", [224, 299])
def test_out_of_the_cache_against_decoding(photographs, tmp_path, capsys, size):
    cache = PixelCache(tmp_path / "cache")
    decoded = open_images(photographs, size=size)
    cached = open_images(photographs, size=size).through(cache)
    filled = seconds(cached)
    cache.flush()
    pairs = [(seconds(cached), seconds(decoded)) for _ in range(ROUNDS)]
    assert cache.decoded == COUNT
    assert cached.ids == decoded.ids
    ratios = sorted(theirs / ours for ours, theirs in pairs)
    ours, theirs = (COUNT / statistics.median(side) for side in zip(*pairs, strict=True))
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{size}x{size}: cached {ours:.0f} images/s, decoded {theirs:.0f}, decoded and kept {COUNT / filled:.0f}; "
            f"ratio {statistics.median(ratios):.1f} ({ratios[0]:.1f} .. {ratios[-1]:.1f} over {ROUNDS} rounds, "
            f"{torch.get_num_threads()} CPU threads)"
        )
