"""The codec's description names the library, its version and the settings that decide the pixels."""

from __future__ import annotations

import PIL
import pytest
import torch
from PIL import features

from robustcheck import jpeg
from robustcheck.errors import RobustcheckError


def test_pillow():
    turbo = features.version_feature("libjpeg_turbo")
    info = jpeg.codec_info("pillow")
    assert str(info) == (
        f"JPEG 4:2:0, islow DCT, fancy upsampling, by Pillow {PIL.__version__} (libjpeg-turbo {turbo})"
    )


def test_auto_is_a_promise_of_pillows_pixels():
    assert jpeg.codec_info("auto").library == jpeg.codec_info("pillow").library


def test_tensor_and_triton_name_what_runs_them():
    assert f"torch {torch.__version__}" in str(jpeg.codec_info("tensor", subsampling="4:4:4"))
    assert str(jpeg.codec_info("tensor", subsampling="4:4:4")).startswith("JPEG 4:4:4")
    assert "triton" in jpeg.codec_info("triton").library


def test_descriptions_compare_by_value():
    assert jpeg.codec_info("tensor") == jpeg.codec_info("tensor")
    assert jpeg.codec_info("tensor") != jpeg.codec_info("tensor", subsampling="4:2:2")


@pytest.mark.parametrize("arguments", [("gpu", "4:2:0"), ("pillow", "4:2:1")])
def test_unknown_names(arguments):
    codec, subsampling = arguments
    with pytest.raises(RobustcheckError, match="unknown"):
        jpeg.codec_info(codec, subsampling=subsampling)
