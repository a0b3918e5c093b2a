"""What a recorded result must say of the JPEG codec that made it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

import robustcheck
from robustcheck.errors import unknown
from robustcheck.jpeg.tables import chroma_factors


@dataclass(frozen=True)
class Contract:
    """All that decides a codec's pixels but the quality; `str()` is a line for a report."""

    codec: str
    library: str
    subsampling: str
    dct: str = "islow"
    upsampling: str = "fancy"

    def __str__(self) -> str:
        return f"JPEG {self.subsampling}, {self.dct} DCT, {self.upsampling} upsampling, by {self.library}"


def contract(codec: str = "auto", *, subsampling: str = "4:2:0") -> Contract:
    """Name the library and the settings behind `codec`, checking the installed Pillow against the tensor codec.

    `auto` stands for Pillow, whose pixels every codec gives; only where the installed Pillow fails the check
    (a `RobustnessWarning` says so, once) it stands for the tensor codec, which `roundtrip` then takes.

    >>> contract("tensor", subsampling="4:4:4").subsampling
    '4:4:4'
    """
    from robustcheck.jpeg.self_test import pillow_agrees

    chroma_factors(subsampling)
    agree = pillow_agrees()
    libraries = {
        "auto": pillow_library if agree else tensor_library,
        "pillow": pillow_library,
        "tensor": tensor_library,
        "triton": triton_library,
    }
    if codec not in libraries:
        raise unknown("codec", str(codec), libraries)
    # At 4:4:4 there is nothing to upsample, but the setting is part of what was asked for all the same.
    return Contract(codec, libraries[codec](), subsampling)


def pillow_library() -> str:
    """Pillow's version and that of the JPEG library in it."""
    import PIL
    from PIL import features

    turbo = features.version_feature("libjpeg_turbo")
    library = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version_codec('jpg')}, not turbo"
    return f"Pillow {PIL.__version__} ({library})"


def tensor_library() -> str:
    """Our own version and torch's."""
    return f"robustcheck {robustcheck.__version__}'s tensor codec (torch {torch.__version__})"


def triton_library() -> str:
    """Our own version and Triton's."""
    try:
        from triton import __version__ as version
    except ImportError:
        version = "not installed"
    return f"robustcheck {robustcheck.__version__}'s triton codec (triton {version})"
