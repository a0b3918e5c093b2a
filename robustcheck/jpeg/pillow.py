"""The round trip through real JPEG files in memory, by Pillow."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TypeAlias

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image, features
from torch import Tensor

Pixels: TypeAlias = NDArray[np.uint8]  # (H, W, 3)
Through: TypeAlias = Callable[[Pixels, int, str], Pixels]


def library() -> str:
    """Pillow's version and that of the JPEG library in it."""
    turbo = features.version_feature("libjpeg_turbo")
    jpeg = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version_codec('jpg')}, not turbo"
    return f"Pillow {PIL.__version__} ({jpeg})"


def unsupported_reason(_device: torch.device) -> None:
    """None: images on any device are copied to the CPU and back."""


def roundtrip(images: Tensor, qualities: Tensor, subsampling: str) -> Tensor:
    """Take uint8 `images` (N, 3, H, W) through JPEG files of the given quality each."""
    return in_threads(by_pillow, images, qualities, subsampling)


def in_threads(through: Through, images: Tensor, qualities: Tensor, subsampling: str) -> Tensor:
    """Take each image `through` files, in as many threads as torch uses itself (`torch.set_num_threads`).

    In a process that torch keeps to one thread, such as a DataLoader's worker, no thread is started.
    """
    source, own = images.cpu().numpy(), qualities.tolist()
    result = np.empty(source.shape, dtype=np.uint8)
    workers = min(torch.get_num_threads(), len(source))

    def work(first: int) -> None:
        for index in range(first, len(source), workers):
            pixels = through(_interleaved(source[index]), own[index], subsampling)
            for channel in range(3):
                result[index, channel] = pixels[..., channel]

    if workers == 1:
        work(0)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers)))
    return torch.from_numpy(result).to(images.device)


def by_pillow(pixels: Pixels, quality: int, subsampling: str) -> Pixels:
    """Write and read `pixels` by Pillow alone."""
    with Image.open(written_by_pillow(pixels, quality, subsampling)) as image:
        return np.asarray(image)


def written_by_pillow(pixels: Pixels, quality: int, subsampling: str) -> BytesIO:
    """Write `pixels` as a JPEG file in memory."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    file.seek(0)
    return file


def _interleaved(planes: NDArray[np.uint8]) -> Pixels:
    """(3, H, W) as contiguous (H, W, 3); by plane it takes a third of the time of a transposing copy."""
    pixels = np.empty((*planes.shape[1:], 3), dtype=np.uint8)
    for channel in range(3):
        pixels[..., channel] = planes[channel]
    return pixels
