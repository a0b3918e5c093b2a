"""The round trip through real JPEG files in memory: Pillow, or torchvision.io where its pixels are the same.

Both spend their time in libjpeg-turbo. torchvision leaves Python's lock alone while it works and copies less,
so that threads gain more; but it writes 4:2:0 only, and its build of the library is another, so it is used
only after it has given Pillow's very pixels for a check image.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[np.uint8]  # (H, W, 3)
Through = Callable[[Pixels, int, str], Pixels]

_UNCHANGED = 0  # torchvision's ImageReadMode: as many channels as the file has


def roundtrip(images: Tensor, qualities: list[int], subsampling: str) -> Tensor:
    """Take uint8 `images` (N, 3, H, W) through JPEG files of the given quality each.

    The images are shared out among as many threads as torch uses for itself (`torch.set_num_threads`); in a
    process that torch keeps to one thread, such as a DataLoader's worker, no thread is started.
    """
    from robustcheck.jpeg.self_test import torchvision_agrees

    through = by_torchvision if torchvision_agrees() else by_pillow
    source = images.cpu().numpy()
    result = np.empty(source.shape, dtype=np.uint8)
    workers = min(torch.get_num_threads(), len(source))

    def work(first: int) -> None:
        for index in range(first, len(source), workers):
            pixels = through(_interleaved(source[index]), qualities[index], subsampling)
            for channel in range(3):
                result[index, channel] = pixels[..., channel]

    if workers == 1:
        work(0)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers)))
    return torch.from_numpy(result).to(images.device)


def _interleaved(planes: NDArray[np.uint8]) -> Pixels:
    """(3, H, W) as contiguous (H, W, 3); by plane it takes a third of the time of a transposing copy."""
    pixels = np.empty((*planes.shape[1:], 3), dtype=np.uint8)
    for channel in range(3):
        pixels[..., channel] = planes[channel]
    return pixels


def by_pillow(pixels: Pixels, quality: int, subsampling: str) -> Pixels:
    """Write and read `pixels` by Pillow alone."""
    from PIL import Image

    with Image.open(_written_by_pillow(pixels, quality, subsampling)) as image:
        return np.asarray(image)


def by_torchvision(pixels: Pixels, quality: int, subsampling: str) -> Pixels:
    """Read `pixels` by torchvision's decoder after writing them by its encoder, or by Pillow if not 4:2:0."""
    import torchvision.io  # noqa: F401 - it registers the operators

    # The operators rather than the functions around them: those warn of deprecation, from torchvision 0.29 on,
    # at every call. Should the operators go, `torchvision_agrees` turns false and Pillow does all.
    if subsampling == "4:2:0":
        data = torch.ops.image.encode_jpeg(torch.from_numpy(pixels).permute(2, 0, 1), quality)
    else:
        data = torch.frombuffer(
            _written_by_pillow(pixels, quality, subsampling).getbuffer(), dtype=torch.uint8
        )
    planes = torch.ops.image.decode_jpeg(data, _UNCHANGED, False)
    decoded: Pixels = planes.permute(1, 2, 0).numpy()
    return decoded


def _written_by_pillow(pixels: Pixels, quality: int, subsampling: str) -> BytesIO:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    file.seek(0)
    return file
