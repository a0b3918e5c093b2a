"""The JPEG codec behind a recorded result, for reports."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from robustcheck.jpeg.registry import CODECS, check_codec, implementation
from robustcheck.jpeg.roundtrip import fastest_codec
from robustcheck.jpeg.tables import chroma_factors


@dataclass(frozen=True)
class CodecInfo:
    """All that decides a codec's pixels but the quality; `str()` is a line for a report."""

    codec: str
    library: str
    subsampling: str
    dct: str = "islow"
    upsampling: str = "fancy"

    @property
    def settings(self) -> str:
        """What decides the pixels, in words."""
        return f"JPEG {self.subsampling}, {self.dct} DCT, {self.upsampling} upsampling"

    def __str__(self) -> str:
        return f"{self.settings}, by {self.library}"


def codec_info(codec: str = "auto", *, subsampling: str = "4:2:0") -> CodecInfo:
    """Name the library and the settings behind `codec`, checking the installed Pillow against the tensor codec.

    `auto` stands for Pillow, whose pixels every codec gives; only where the installed Pillow fails the check
    (a `RobustnessWarning` says so, once) it stands for the tensor codec, which `roundtrip` then takes.

    >>> codec_info("tensor", subsampling="4:4:4").subsampling
    '4:4:4'
    """
    chroma_factors(subsampling)
    check_codec(codec)
    named = fastest_codec(torch.device("cpu")) if codec == "auto" else codec
    # At 4:4:4 there is nothing to upsample, but the setting is part of what was asked for all the same.
    return CodecInfo(codec, implementation(CODECS[named].module).library(), subsampling)
