"""The round trip through JPEG files in memory by torchvision.io, which threads gain more from than from Pillow.

Both spend their time in libjpeg-turbo. torchvision releases Python's lock while it works and copies less; but it
writes 4:2:0 only, and its build of the library is another, so it stands in for Pillow only after it has given
Pillow's very pixels for a check image. Only its operators are loaded: the whole package takes as long to import as
torch itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import version
from importlib.util import find_spec

import torch
from torch import Tensor

from robustcheck.jpeg.pillow import Pixels, in_threads, written_by_pillow

_LIBRARIES = ("image_stable", "image")  # from torchvision 0.29 on, and before
_UNCHANGED = 0  # torchvision's ImageReadMode: as many channels as the file has


def register_operators(libraries: Sequence[str] = _LIBRARIES) -> None:
    """Load the library of the operators; where that can't be done, import what registers them."""
    package = find_spec("torchvision")
    for name in libraries:
        library = PathFinder.find_spec(name, package.submodule_search_locations if package else None)
        if library and library.origin:
            with suppress(OSError):  # on Windows the package alone may find the libraries that it needs
                torch.ops.load_library(library.origin)  # type: ignore[no-untyped-call]
                return
    import_module("torchvision.io")


register_operators()


def library() -> str:
    """Name torchvision with its version."""
    return f"torchvision {version('torchvision')}"


def unsupported_reason(_device: torch.device) -> None:
    """None: images on any device are copied to the CPU and back."""


def roundtrip(images: Tensor, qualities: Tensor, subsampling: str) -> Tensor:
    """Take uint8 `images` (N, 3, H, W) through JPEG files of the given quality each."""
    return in_threads(by_torchvision, images, qualities, subsampling)


def by_torchvision(pixels: Pixels, quality: int, subsampling: str) -> Pixels:
    """Read `pixels` by torchvision's decoder after writing them by its encoder, or by Pillow if not 4:2:0."""
    # The operators rather than the functions around them: those warn of deprecation, from torchvision 0.29 on,
    # at every call. Should the operators go, the self-test fails and Pillow does all.
    if subsampling == "4:2:0":
        data = torch.ops.image.encode_jpeg(torch.from_numpy(pixels).permute(2, 0, 1), quality)
    else:
        data = torch.frombuffer(
            written_by_pillow(pixels, quality, subsampling).getbuffer(), dtype=torch.uint8
        )
    planes = torch.ops.image.decode_jpeg(data, _UNCHANGED, False)
    decoded: Pixels = planes.permute(1, 2, 0).numpy()
    return decoded
