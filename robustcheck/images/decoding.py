"""From an image file to the pixels that a classifier looks at."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import Condition, RLock
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from robustcheck.errors import RobustcheckError
from robustcheck.images.formats import FORMATS, UnusableImage, check_size, opened
from robustcheck.limits import excess, limit
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.regular_file import NotRegularFile, open_regular, read_regular
from robustcheck.text import first_line, listed

Pixels: TypeAlias = NDArray[np.uint8]  # (3, H, W), RGB, 0..255

_ORIENTATION = 0x0112  # of EXIF
_ONE_AT_A_TIME = RLock()  # for the filters of warnings, which all threads share
_PILLOW = {way.name.lower(): way for way in Image.Resampling}
_OS_ERRORS = {
    errno.ENOENT: "does not exist, or is a broken link",
    errno.ELOOP: "is a link to itself",
    errno.EACCES: "can't be read by this user: check its permissions",
    errno.EISDIR: "is a folder",
}


class BadImage(RobustcheckError):  # noqa: N818 - like ClaimFailed
    """An image that can't be used; `name` is for a person to find it by, `reason` completes a sentence about it."""

    def __init__(self, name: str, reason: str) -> None:
        self.name: str = name
        self.reason: str = reason
        self.position = -1  # in the set that reads it
        super().__init__(
            f"image {name!r} {reason}. Repair or remove it, or skip and count such images: "
            "--robustcheck-bad-images=skip"
        )


def decode(source: Path | bytes, preprocessing: Preprocessing, name: str | None = None) -> Pixels:
    """Decode an image file or its bytes, and resize and crop it by `preprocessing`, as torchvision and timm do.

    The formats are AVIF, BMP, GIF, JPEG, JPEG 2000, MPO, PNG, PPM, TIFF and WebP, whatever the file's name. A photograph
    is rotated by its EXIF orientation, which those libraries leave to their users. An animation gives its first frame;
    transparency is dropped, as by `convert("RGB")`; 16-bit grey PNG is scaled to 8 bits.

    Raises BadImage naming the file if it is no regular file, can't be read or decoded, is beyond the limits on size, or
    has samples of unknown range.
    """
    shown = name or name_as_text(str(source))
    with (
        _as_bad_image(shown, lambda error: _reason(source, error)),
        BytesIO(source) if isinstance(source, bytes) else open_regular(source) as file,
    ):
        return _decoded(file, preprocessing)


def fit_image(image: Image.Image, preprocessing: Preprocessing, name: str) -> Pixels:
    """Bring an image of Pillow's to the input size as `decode` does that of a file; raises BadImage as well."""
    with _as_bad_image(name, _damage):
        if getattr(image, "tile", None) and image.format not in FORMATS:
            raise UnusableImage(
                f"is an unread file of the format {image.format}, of which decoders are not trusted: call its load() where "
                f"you open it, if you trust it, or use one of {listed(FORMATS, 12)}"
            )
        check_size(image)
        with _room_for(image, preprocessing):
            return resize_and_crop(_as_rgb(image), preprocessing)


def _decoded(file: BinaryIO, preprocessing: Preprocessing) -> Pixels:
    try:
        with opened(file) as image, _room_for(image, preprocessing):
            rgb = _as_rgb(image)
            if image.format == "PNG":  # decoding does not check its checksums
                with opened(file) as again:
                    again.verify()
            return resize_and_crop(rgb, preprocessing)
    except Warning:  # if warnings are errors; Pillow's do not concern the pixels
        with _ONE_AT_A_TIME, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(file, preprocessing)


@contextmanager
def _as_bad_image(name: str, reason: Callable[[Exception], str]) -> Iterator[None]:
    try:
        yield
    except UnusableImage as error:
        raise BadImage(name, str(error)) from None
    except Exception as error:  # noqa: BLE001 - damage makes Pillow raise OSError, SyntaxError, struct.error, ...
        raise BadImage(name, reason(error)) from None


@contextmanager
def _room_for(image: Image.Image, preprocessing: Preprocessing) -> Iterator[None]:
    """Wait until the images that are being decoded by all threads leave room for one more within the limit on pixels."""
    height, width = preprocessing.resized(image.height, image.width)
    if beyond := excess("pixels", height * width):
        raise UnusableImage(
            f"is {image.width}x{image.height}, which would be resized to {width}x{height}: {beyond}"
        )
    with _PIXELS_IN_MEMORY.held(max(height * width, image.height * image.width), limit("pixels")):
        yield


def resize_and_crop(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Resize and crop an RGB image by `preprocessing`, to uint8 (3, H, W)."""
    size = height, width = preprocessing.resized(image.height, image.width)
    top, left = preprocessing.crop_from(height, width)
    if not preprocessing.antialias:  # Pillow always antialiases
        return _fit_as_tensor(image, size, (top, left), preprocessing)
    resized = image.resize((width, height), _PILLOW[preprocessing.interpolation])
    bottom, right = top + preprocessing.input_size[0], left + preprocessing.input_size[1]
    cropped = np.asarray(resized.crop((left, top, right, bottom)))
    return np.ascontiguousarray(cropped.transpose(2, 0, 1))


def _fit_as_tensor(
    image: Image.Image, size: tuple[int, int], start: tuple[int, int], preprocessing: Preprocessing
) -> Pixels:
    import torchvision.transforms.functional as transforms  # rarely needed, and as slow to import as torch

    way = transforms.InterpolationMode(preprocessing.interpolation)
    tensor = transforms.pil_to_tensor(image)
    resized = transforms.resize(tensor, list(size), interpolation=way, antialias=False)
    cropped = transforms.crop(resized, *start, *preprocessing.input_size)
    return np.ascontiguousarray(np.asarray(cropped))


def name_as_text(name: str) -> str:
    """Return a file's name with escapes for bytes that are not text."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def _as_rgb(image: Image.Image) -> Image.Image:
    rgb = _from_16_bits(image) if image.mode.startswith(("I", "F")) else _eight_bits(image)
    return ImageOps.exif_transpose(rgb) if _is_rotated(image) else rgb


def _is_rotated(image: Image.Image) -> bool:
    try:
        return bool(image.getexif().get(_ORIENTATION, 1) != 1)
    except Exception:  # noqa: BLE001 - broken EXIF has no orientation, and the pixels may be good
        return False


def _eight_bits(image: Image.Image) -> Image.Image:
    if "transparency" in image.info and image.mode == "P":
        image = image.convert("RGBA")  # Pillow asks for this step
    if image.mode != "RGB":
        return image.convert("RGB")
    image.load()
    return image


def _from_16_bits(image: Image.Image) -> Image.Image:
    if image.format != "PNG" or image.mode == "F":
        raise UnusableImage(
            f"has more than 8 bits a sample (Pillow's mode {image.mode!r} in {image.format or 'memory'}) of unknown range: "
            "save it with 8 bits, or as 16-bit PNG"
        )
    sixteen = np.asarray(image)
    eight = np.empty(sixteen.shape, np.uint8)
    for row, values in enumerate(sixteen):  # row by row, since the numbers in between are large
        eight[row] = (values.astype(np.uint32) * 255 + 32767) // 65535
    rgb = Image.fromarray(eight).convert("RGB")
    rgb.info.update(image.info)
    return rgb


def _reason(source: Path | bytes, error: Exception) -> str:
    if isinstance(error, OSError):
        if isinstance(error, NotRegularFile):
            return str(error.strerror)
        if error.errno in _OS_ERRORS:
            return _OS_ERRORS[error.errno]
    return _wrong_content(source[:64] if isinstance(source, bytes) else _start_of(source), error)


def _wrong_content(start: bytes, error: Exception) -> str:
    if not start:
        return "is empty (0 bytes)"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the image: run git lfs pull"
    if start.lstrip()[:1] in (b"<", b"{") and b"svg" not in start.lower():
        return f"is text, not an image: it begins with {start[:16]!r} (an error page saved under this name?)"
    if isinstance(error, UnidentifiedImageError):
        return (
            f"cannot be decoded: Pillow finds no image in it (it begins with {start[:8]!r}) of the formats "
            f"{listed(FORMATS, 12)}"
        )
    return _damage(error)


def _damage(error: Exception) -> str:
    return f"cannot be decoded ({type(error).__name__}: {first_line(error)})"


def _start_of(path: Path) -> bytes:
    try:
        return read_regular(path, 64)
    except OSError:
        return b"?"


class _PixelsInMemory:
    """How many pixels the images have that threads decode at the moment."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = Condition()

    @contextmanager
    def held(self, count: int, most: int) -> Iterator[None]:
        """Wait until no more than `most` would be held with `count` more, or nothing is held; hold them in the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count or self._count + count <= most)
            self._count += count
        try:
            yield
        finally:
            with self._changed:
                self._count -= count
                self._changed.notify_all()


_PIXELS_IN_MEMORY = _PixelsInMemory()
