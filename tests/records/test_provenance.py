"""Provenance is data; the lines in files and reports are its text, and can be read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustcheck.records.provenance import Codec, Images, Model, Provenance

WHOLE = Provenance(
    model=Model("resnet50", "0123abcd", "https://somewhere/resnet50.pth"),
    pixels="shorter side to 256 (bilinear)",
    images=Images(
        "/data/val, small", 8, ("2 bad ones skipped (a.png is empty; b.png, too)",), "ff00", "1 image repeats"
    ),
    devices=("cuda:0 (NVIDIA H100)", "cuda:1 (NVIDIA H100)"),
    precision="fp32",
    network="as it is",
    codec=Codec("JPEG 4:2:0, islow DCT", "Pillow 11 (libjpeg-turbo 3)"),
    labels="by image",
    seed="7",
    versions=("robustcheck 0.1", "torch 2.6"),
    libraries=("foolbox 3.3",),
    batch_size="64, the fastest of 3",
)
LINES = {
    "model": "resnet50, weights 0123abcd (https://somewhere/resnet50.pth)",
    "pixels": "shorter side to 256 (bilinear)",
    "images": "/data/val, small, 8 images, 2 bad ones skipped (a.png is empty; b.png, too), fingerprint ff00, 1 image repeats",
    "device": "cuda:0 (NVIDIA H100), cuda:1 (NVIDIA H100)",
    "precision": "fp32",
    "network": "as it is",
    "codec": "JPEG 4:2:0, islow DCT, by Pillow 11 (libjpeg-turbo 3)",
    "labels": "by image",
    "seed": "7",
    "versions": "robustcheck 0.1, torch 2.6",
    "libraries": "foolbox 3.3",
    "batch size": "64, the fastest of 3",
}


def test_a_header_has_a_line_for_each_that_is_known():
    assert WHOLE.header() == LINES
    assert list(WHOLE.header()) == list(LINES)
    assert Provenance().header() == {}


def test_a_header_is_read_back():
    assert Provenance.from_header(LINES) == WHOLE


def test_the_summary_of_an_image_set_has_no_fingerprint():
    assert "ff00" in str(WHOLE.images)
    assert WHOLE.images.summary.endswith("(a.png is empty; b.png, too)")


@given(st.dictionaries(st.sampled_from([*LINES, "made by", "x"]), st.text(min_size=1, max_size=60)))
def test_any_lines_come_back_as_they_were(lines):
    assert Provenance.from_header(lines).header() == lines


@given(
    st.dictionaries(
        st.sampled_from(["model", "images", "codec"]),
        st.lists(
            st.sampled_from(["a", ", weights ", " (", ")", ", 8 images", ", fingerprint ", ", by ", ", "]),
            min_size=1,
        ).map("".join),
    )
)
def test_lines_made_of_the_words_between_come_back_as_they_were(lines):
    assert Provenance.from_header(lines).header() == lines


@pytest.mark.parametrize("lines", [[], "model", 7, None])
def test_what_is_no_mapping_is_refused(lines):
    with pytest.raises(TypeError, match="must be a mapping"):
        Provenance.from_header(lines)
