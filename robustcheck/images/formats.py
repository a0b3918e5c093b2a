"""The formats of images that are opened, and the work that a file may ask of their decoders.

Pillow opens more formats than these, some of which start other programs (PostScript) or read other files. A name says
nothing: the content decides, and only the decoders of this list see it.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO, cast

from PIL import Image

from robustcheck.limits import excess, limit

_EXTENSIONS = {
    "AVIF": ".avif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "JPEG": ".jfif .jpe .jpeg .jpg",
    "JPEG2000": ".j2k .jp2 .jpx",
    "MPO": ".mpo",
    "PNG": ".png",
    "PPM": ".pbm .pgm .pnm .ppm",
    "TIFF": ".tif .tiff",
    "WEBP": ".webp",
}
FORMATS = tuple(_EXTENSIONS)
"""The formats, by Pillow's names."""
EXTENSIONS = frozenset(" ".join(_EXTENSIONS.values()).split())
"""How the names of image files end, in lower case."""

_READS, _BYTES_A_READ = 20_000, 64
"""A file may be read in so many pieces, and one more for so many of its bytes."""
_TIMES_READ, _SMALL_FILE = 8, 1_000_000
"""A file's bytes may be read so many times over; a small one's as often as one of this size."""
_MOST_METADATA = 2**25
"""Bytes of a JPEG's metadata: colour profiles have up to 16 MB."""
_MARKERS = re.compile(rb"\xff([\xc0-\xcf\xd9-\xef\xfe])")
_END, _SCAN, _FIRST_OF_METADATA = b"\xd9", b"\xda", b"\xe0"
_MOST_PLAIN = 5_000_000
"""Bytes of a PPM whose pixels are text."""
_SCANS_OF_A_LARGE_IMAGE = 100
"""Passes over an image as large as the limit on pixels; a smaller one may have more in proportion. Usual are 10."""


class UnusableImage(Exception):  # noqa: N818 - its text completes a sentence about the image
    """An image beyond the limits, or one whose samples have no known range; no error of a kind that Pillow handles."""


class MeteredFile(io.RawIOBase):
    """A file that is read in a bounded number of pieces and of bytes.

    Decoders of headers read byte by byte, chunk by chunk or again and again, as the file says. Raises UnusableImage at the
    bound.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size: int = file.seek(0, io.SEEK_END)
        file.seek(0)
        self._reads_left = _READS + self.size // _BYTES_A_READ
        self._bytes_left = _TIMES_READ * max(self.size, _SMALL_FILE)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes of the file."""
        data = self._file.read(-1 if size is None else size)
        self._reads_left -= 1
        self._bytes_left -= len(data)
        if min(self._reads_left, self._bytes_left) < 0:
            raise UnusableImage(
                f"has {self.size:,} bytes in so many or so repeated parts that decoding it would take too long: save it "
                "again with another program"
            )
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a place in the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True


@contextmanager
def opened(file: BinaryIO) -> Iterator[Image.Image]:
    """Open an image in one of the FORMATS, of which nothing but its header is read yet.

    Raises UnusableImage for a file or an image beyond the limits, and as Pillow does.
    """
    metered = MeteredFile(file)
    if beyond := excess("image-bytes", metered.size):
        raise UnusableImage(f"has {beyond}")
    scans = _scans_of_jpeg(file)
    with _open(metered) as image:
        check_size(image)
        if metered.size > _MOST_PLAIN and image.tile and image.tile[0][0] == "ppm_plain":  # type: ignore[attr-defined]
            raise UnusableImage(
                f"has {metered.size:,} bytes of text, whose decoding takes too long above {_MOST_PLAIN:,}: save it as "
                "binary PPM, or PNG"
            )
        if scans * image.width * image.height > _SCANS_OF_A_LARGE_IMAGE * limit("pixels"):
            raise UnusableImage(
                f"is {image.width}x{image.height} in {scans} scans, so many that decoding it would take too long: save it "
                "again with another program"
            )
        yield image


@cache
def _known_formats() -> tuple[str, ...]:
    """Return the names by which this version of Pillow opens the formats; MPO's is that of JPEG."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def check_size(image: Image.Image) -> None:
    """Raise UnusableImage for an image with more pixels than the limit."""
    if beyond := excess("pixels", image.width * image.height):
        raise UnusableImage(f"is {image.width}x{image.height}, a decompression bomb: {beyond}")


def _open(file: MeteredFile) -> Image.Image:
    try:
        with _large_images_allowed():
            return Image.open(cast("BinaryIO", file), formats=_known_formats())
    except Image.DecompressionBombError as error:  # beyond twice Pillow's own limit, which may be below ours
        pixels = int((re.findall(r"\d+", str(error)) or [limit("pixels") + 1])[0])
        raise UnusableImage(f"is a decompression bomb: {excess('pixels', pixels) or error}") from None


def _scans_of_jpeg(file: BinaryIO) -> int:
    """Return the number of passes over the image that a JPEG file asks for; 0 for other files."""
    file.seek(0)
    if file.read(2) != b"\xff\xd8":
        return 0
    data, place, scans, metadata = b"\xff\xd8" + file.read(), 2, 0, 0
    while (found := _MARKERS.search(data, place)) is not None and found[1] != _END:
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        place = found.end() + length
        scans += found[1] == _SCAN
        metadata += length if found[1] >= _FIRST_OF_METADATA else 0
        if metadata > _MOST_METADATA:
            raise UnusableImage(f"has more than {_MOST_METADATA:,} bytes of metadata: save it without them")
    return scans


_pillow_s_limit = threading.Lock()


@contextmanager
def _large_images_allowed() -> Iterator[None]:
    """Let Pillow open images up to our limit, where that is above its own, which all threads share."""
    if limit("pixels") <= (Image.MAX_IMAGE_PIXELS or float("inf")):
        yield
        return
    with _pillow_s_limit:
        before: Any = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = limit("pixels")
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before
