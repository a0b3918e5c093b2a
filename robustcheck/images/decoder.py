"""What decides, beside the file, which pixels are made of it."""

from __future__ import annotations

import hashlib
import inspect
import json
import platform

import PIL
import torch
import torchvision
from PIL import Image, ImageFile, features

from robustcheck.images import decoding
from robustcheck.models.preprocessing import Preprocessing

_LIBRARIES = ("libjpeg_turbo", "jpg", "zlib", "webp", "libtiff", "avif")


def decoder_of(rule: Preprocessing) -> dict[str, object]:
    """All that another decoder may do otherwise: the geometry of the rule, versions, and Pillow's switches.

    Of our own part it is the source itself, so that nobody has to think of a number when it changes.
    """
    made_by = {
        "input_size": rule.input_size,
        "resize": rule.resize,
        "interpolation": rule.interpolation,
        "antialias": rule.antialias,
        "robustcheck": _digest(inspect.getsource(decoding)),
        "Pillow": PIL.__version__,
        "libraries": {name: features.version(name) for name in _LIBRARIES},
        "torchvision": torchvision.__version__,
        "truncated images": ImageFile.LOAD_TRUNCATED_IMAGES,
        "most pixels": Image.MAX_IMAGE_PIXELS,
    }
    if not rule.antialias:  # torch resizes, in floating point, by what the processor can do
        capability = torch.backends.cpu.get_cpu_capability()
        made_by |= {"torch": torch.__version__, "processor": [platform.machine(), capability]}
    return made_by


def name_of(made_by: dict[str, object]) -> str:
    """A folder's name for what `decoder_of` says."""
    return _digest(json.dumps(made_by, sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
