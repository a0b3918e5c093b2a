"""Hostile image files: each is a bad image within bounds of time and memory, and nothing else happens."""

from __future__ import annotations

import os
import socket
import struct
import sys
import zlib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from robustcheck.images import decoding
from robustcheck.models import Preprocessing
from tests.attack.bounded import outcomes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and reads /proc")
RULE = Preprocessing.for_size(224, resize=256)


def decode(path: str) -> object:
    """What the child does: bring a file to the size of a usual network."""
    return decoding.decode(Path(path), RULE).shape


def decoded(paths: Iterable[Path]) -> dict[str, str]:
    made = outcomes("tests.attack.test_images:decode", sorted(paths))
    return {Path(path).name: said for path, said in made.items()}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, before: bytes = b"", data: bytes | None = None) -> bytes:
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9) if data is None else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", rows) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str, **settings) -> bytes:
    file = BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def tiff(tags: dict[int, tuple[int, int, int]]) -> bytes:
    plain = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 64, 279: 4096}
    rows = {tag: (4, 1, value) for tag, value in plain.items()} | tags
    packed = b"".join(struct.pack("<HHII", tag, *row) for tag, row in sorted(rows.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + packed + bytes(2_000_000)


OTHER_FORMATS = {
    "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) (w) file pop\n",
    "pdf.jpg": b"%PDF-1.4\n" + bytes(99),
    "photoshop.jpg": b"8BPS\0\1" + bytes(99),
    "icon.bmp": saved(Image.new("RGB", (16, 16)), "ICO"),
    "sgi.png": saved(Image.new("RGB", (16, 16)), "SGI"),
    "targa.tif": saved(Image.new("RGB", (16, 16)), "TGA"),
    "texture.webp": saved(Image.new("RGB", (16, 16)), "DDS"),
    "pcx.gif": saved(Image.new("RGB", (16, 16)), "PCX"),
    "metafile.jpg": b"\xd7\xcd\xc6\x9a\0\0" + bytes(99),
}
"""Formats that Pillow opens, and we do not."""


def listed_formats() -> dict[str, bytes]:
    image = Image.new("RGB", (40, 30), (200, 100, 50))
    kinds = [
        "JPEG",
        "PNG",
        "WEBP",
        "BMP",
        "GIF",
        "TIFF",
        "PPM",
        "JPEG2000",
        "MPO",
        *{"AVIF"} & set(Image.SAVE),
    ]
    return {f"{kind}.bin": saved(image, kind) for kind in kinds}


BOMBS = {
    "1x15000.png": png(1, 15_000),
    "1x60000.png": png(1, 60_000),
    "60000x2.png": png(60_000, 2),
    "89000000x1.png": png(89_000_000, 1),
    "12000x12000.png": png(12_000, 12_000),
    "30000x30000.bmp": b"BM" + struct.pack("<IHHI", 99, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 24, *[0] * 6),
    "60000x60000.gif": saved(Image.new("L", (64, 64)), "GIF").replace(struct.pack("<HH", 64, 64), struct.pack("<HH", 60_000, 60_000)),
    "99999x99999.ppm": b"P6 99999 99999 255 ",
}  # fmt: skip
"""Images, or what they are resized to, with more pixels than the limit."""


def crawling() -> dict[str, bytes]:
    """Files that would keep decoders busy for a minute or more, or fill the memory."""
    jpeg = saved(Image.new("L", (64, 64)), "JPEG")
    gif = saved(Image.new("L", (64, 64)), "GIF")
    frame = gif.index(b",")
    large = saved(Image.new("L", (7000, 7000), 128), "JPEG", progressive=True, quality=50)
    scan = large[large.rindex(b"\xff\xda") : -2]
    empty = zlib.compress(bytes(9 * 64))
    return {
        "comment.pgm": b"P5\n#" + b"x" * 9_000_000 + b"\n8 8\n255\n" + bytes(64),
        "comments.pgm": b"P5\n" + b"#\n" * 9_000_000 + b"8 8\n255\n" + bytes(64),
        "text.ppm": b"P3 4000 4000 255 " + b"1 " * 32_000_000,
        "texts.png": png(64, 64, before=chunk(b"tEXt", b"a\0b") * 300_000),
        "chunks.png": png(64, 64, before=chunk(b"abCd", b"") * 300_000),
        "data.png": png(64, 64, data=chunk(b"IDAT", empty[:9]) + chunk(b"IDAT", b"") * 300_000 + chunk(b"IDAT", empty[9:])),
        "comments.gif": gif[:frame] + b"!\xfe" + b"\1a" * 9_000_000 + b"\0" + gif[frame:],
        "exif.jpg": jpeg[:2] + (b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)) * 600 + jpeg[2:],
        "markers.jpg": jpeg[:2] + b"\xff\xe0\0\2" * 300_000 + jpeg[2:],
        "padding.jpg": jpeg[:2] + b"\xff" * 9_000_000 + jpeg[2:],
        "scans.jpg": large[:-2] + scan * 2000 + large[-2:],
        "tags.tif": tiff({1000 + tag: (1, 1_300_000, 8) for tag in range(60_000)}),
    }  # fmt: skip


def make_special(folder: Path) -> None:
    os.mkfifo(folder / "fifo.png")
    here = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/socket.png")  # a socket's path must be short
    os.close(here)
    (folder / "folder.png").mkdir()
    for name, target in {
        "link": "fifo.png",
        "zero": "/dev/zero",
        "tty": "/dev/tty",
        "loop": "loop.png",
    }.items():
        (folder / f"{name}.png").symlink_to(target)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What became of each input, by kind and name."""
    root = tmp_path_factory.mktemp("hostile")
    kinds = {
        "other": OTHER_FORMATS,
        "listed": listed_formats(),
        "bombs": BOMBS,
        "crawling": crawling(),
        "special": {},
    }
    for kind, files in kinds.items():
        (root / kind).mkdir()
        for name, content in files.items():
            (root / kind / name).write_bytes(content)
    make_special(root / "special")
    made = outcomes("tests.attack.test_images:decode", sorted(root.glob("*/*")))
    return {
        kind: {Path(path).name: text for path, text in made.items() if Path(path).parent.name == kind}
        for kind in kinds
    }


def test_other_formats_are_bad_images_under_any_name(said):
    assert set(said["other"]) == set(OTHER_FORMATS)
    for name, text in said["other"].items():
        assert text.startswith("BadImage: image "), text
        assert f"{name}' cannot be decoded: Pillow finds no image in it" in text
        assert "--robustcheck-bad-images=skip" in text


def test_the_formats_of_the_list_are_read(said):
    assert len(said["listed"]) >= 9
    assert set(said["listed"].values()) == {"(3, 224, 224)"}


def test_decompression_bombs_are_refused_by_their_header(said):
    assert set(said["bombs"]) == set(BOMBS)
    for text in said["bombs"].values():
        assert text.startswith("BadImage: image "), text
        assert "more than the limit of 50,000,000 pixels" in text
        assert "--robustcheck-input-limits=pixels:" in text


def test_files_that_ask_too_much_of_a_decoder_are_refused(said):
    assert len(said["crawling"]) == 12
    for name, text in said["crawling"].items():
        assert text.startswith("BadImage: image "), f"{name}: {text}"
        assert "too long" in text or "bytes of metadata" in text, f"{name}: {text}"


def test_what_is_no_regular_file_is_a_bad_image(said):
    assert len(said["special"]) == 7
    for name, text in said["special"].items():
        assert text.startswith("BadImage: image "), text
        assert "not a regular file" in text or "is a link to itself" in text, f"{name}: {text}"


@pytest.mark.slow
def test_images_as_large_as_the_limit_are_decoded_within_the_memory(tmp_path):
    grey = Image.new("RGBA", (7000, 7000))
    files = {
        "large.webp": saved(grey, "WEBP", lossless=True, quality=0, method=0),
        "large.tif": saved(grey.convert("CMYK"), "TIFF", compression="packbits"),
        "large.jpg": saved(grey.convert("RGB"), "JPEG", progressive=True),
        "large.gif": saved(grey.convert("L"), "GIF"),
        "deep.png": saved(Image.new("I;16", (7000, 7000)), "PNG", compress_level=1),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert set(decoded(tmp_path.iterdir()).values()) == {"(3, 224, 224)"}
