"""From an image file to the pixels that a classifier looks at."""

from __future__ import annotations

import errno
import os
import warnings
from io import BytesIO
from pathlib import Path
from threading import RLock
from typing import TypeAlias

import numpy as np
import torchvision.transforms.functional as transforms
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from robustcheck.errors import RobustcheckError
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.text import first_line

Pixels: TypeAlias = NDArray[np.uint8]  # (3, H, W), RGB, 0..255

_ORIENTATION = 0x0112  # of EXIF
_ONE_AT_A_TIME = RLock()  # for the filters of warnings, which all threads share
_OS_ERRORS = {
    errno.ENOENT: "does not exist, or is a broken link",
    errno.ELOOP: "is a link to itself",
    errno.EACCES: "can't be read by this user: check its permissions",
    errno.EISDIR: "is a folder",
}


class BadImage(RobustcheckError):  # noqa: N818 - like ClaimFailed
    """An image that can't be used; `name` is for a person to find it by, `reason` completes a sentence about it."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        self.position = -1  # in the set that reads it
        super().__init__(
            f"image {name!r} {reason}. Repair or remove it, or skip and count such images: "
            "--robustcheck-bad-images=skip"
        )


def decode(source: Path | bytes, preprocessing: Preprocessing, name: str | None = None) -> Pixels:
    """Decode an image file or its bytes, and resize and crop it by `preprocessing`, as torchvision and timm do.

    A photograph is rotated by its EXIF orientation, which those libraries leave to their users. An animation
    gives its first frame; transparency is dropped, as by `convert("RGB")`; 16-bit grey PNG is scaled to 8 bits.

    Raises BadImage naming the file if it can't be read or decoded, is a decompression bomb, or has samples
    of unknown range.
    """
    shown = name or printable(str(source))
    try:
        rgb = _opened(source, shown)
    except BadImage:
        raise
    except Exception as error:  # noqa: BLE001 - damage makes Pillow raise OSError, SyntaxError, struct.error, ...
        raise BadImage(shown, _reason(source, error)) from None
    return fit(rgb, preprocessing)


def _opened(source: Path | bytes, name: str) -> Image.Image:
    file = BytesIO(source) if isinstance(source, bytes) else source
    try:
        with Image.open(file) as image:
            _refuse_bomb(image, name)
            rgb = _as_rgb(image, name)
            is_png = image.format == "PNG"
        if is_png:  # decoding does not check its checksums
            with Image.open(file) as image:
                image.verify()
    except Warning:  # if warnings are errors; Pillow's do not concern the pixels
        with _ONE_AT_A_TIME, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _opened(source, name)
    else:
        return rgb


def fit(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Resize and crop an RGB image by `preprocessing`, to uint8 (3, H, W)."""
    size = [preprocessing.resize] if isinstance(preprocessing.resize, int) else list(preprocessing.resize)
    way = transforms.InterpolationMode(preprocessing.interpolation)
    # As a tensor where it must not be antialiased: Pillow always does that.
    picture = image if preprocessing.antialias else transforms.pil_to_tensor(image)
    resized = transforms.resize(picture, size, interpolation=way, antialias=preprocessing.antialias)
    cropped = np.asarray(transforms.center_crop(resized, list(preprocessing.input_size)))
    return np.ascontiguousarray(cropped.transpose(2, 0, 1) if preprocessing.antialias else cropped)


def printable(name: str) -> str:
    """Return a file's name with escapes for bytes that are not text."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def _refuse_bomb(image: Image.Image, name: str) -> None:
    limit, pixels = Image.MAX_IMAGE_PIXELS, image.width * image.height
    if limit is not None and pixels > limit:
        raise BadImage(
            name,
            f"is {image.width}x{image.height}, {pixels / 1e6:.0f} million pixels: a decompression bomb, beyond Pillow's "
            f"limit of {limit / 1e6:.0f} million",
        )


def _as_rgb(image: Image.Image, name: str) -> Image.Image:
    rotated = _is_rotated(image)
    rgb = _from_16_bits(image, name) if image.mode.startswith(("I", "F")) else _eight_bits(image)
    return ImageOps.exif_transpose(rgb) if rotated else rgb


def _is_rotated(image: Image.Image) -> bool:
    try:
        return bool(image.getexif().get(_ORIENTATION, 1) != 1)
    except Exception:  # noqa: BLE001 - broken EXIF has no orientation, and the pixels may be good
        return False


def _eight_bits(image: Image.Image) -> Image.Image:
    if "transparency" in image.info and image.mode == "P":
        image = image.convert("RGBA")  # Pillow asks for this step
    return image.convert("RGB")


def _from_16_bits(image: Image.Image, name: str) -> Image.Image:
    if image.format != "PNG" or image.mode == "F":
        raise BadImage(
            name,
            f"has more than 8 bits a sample (Pillow's mode {image.mode!r} in {image.format}) of unknown range: save it "
            "with 8 bits, or as 16-bit PNG",
        )
    sixteen = np.asarray(image).astype(np.uint32)
    eight = Image.fromarray(((sixteen * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    eight.info.update(image.info)
    return eight


def _reason(source: Path | bytes, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in _OS_ERRORS:
        return _OS_ERRORS[error.errno]
    start = source[:64] if isinstance(source, bytes) else _start_of(source)
    if not start:
        return "is empty (0 bytes)"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the image: run git lfs pull"
    if start.lstrip()[:1] in (b"<", b"{") and b"svg" not in start.lower():
        return f"is text, not an image: it begins with {start[:16]!r} (an error page saved under this name?)"
    if isinstance(error, UnidentifiedImageError):
        return f"cannot be decoded: Pillow finds no image in it (it begins with {start[:8]!r})"
    return f"cannot be decoded ({type(error).__name__}: {first_line(error)})"


def _start_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError:
        return b"?"
