"""A mistake is named, with what is allowed, and is a ValueError or a TypeError."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from robustcheck import jpeg
from robustcheck.errors import RobustcheckError

PIXELS = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (PIXELS.float(), TypeError, r"must be uint8, got torch.float32.*jpeg.differentiable"),
        (PIXELS.int(), TypeError, "must be uint8, got torch.int32"),
        (np.zeros((1, 3, 8, 8), np.uint8), TypeError, r"torch.Tensor of shape \(N, 3, H, W\), got ndarray"),
        (PIXELS[0], RobustcheckError, r"got \(3, 8, 8\).*images\[None\]"),
        (PIXELS[:, :1], RobustcheckError, r"\(N, 3, H, W\), got \(2, 1, 8, 8\)"),
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), RobustcheckError, r"got \(2, 4, 8, 8\)"),
        (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), RobustcheckError, r"permute\(0, 3, 1, 2\)"),
        (PIXELS[..., :0], RobustcheckError, "1 to 65500 pixels.*got 8 x 0"),
        (PIXELS[:1, :, :1, :1].expand(1, 3, 1, 65501), RobustcheckError, "got 1 x 65501"),
    ],
)
def test_images(images, error, message):
    with pytest.raises(error, match=message):
        jpeg.roundtrip(images)


@pytest.mark.parametrize("call", [jpeg.roundtrip, lambda x, **k: jpeg.differentiable(x.float(), **k)])
@pytest.mark.parametrize(
    ("quality", "error", "message"),
    [
        (0, RobustcheckError, "from 1 .* to 100 .*got 0"),
        (101, RobustcheckError, "got 101"),
        (-5, RobustcheckError, "got -5"),
        (75.5, RobustcheckError, "whole number from 1 to 100, got 75.5"),
        (75.0, RobustcheckError, "whole number"),
        (True, TypeError, "integer.*got True"),
        ("75", TypeError, "got '75'"),
        (None, TypeError, "got None"),
        ([75, 75], TypeError, r"integer tensor \(N,\), got \[75, 75\]"),
        (torch.tensor([75, 75, 75]), RobustcheckError, r"each of the 2 images, got shape \(3,\)"),
        (torch.tensor([75]), RobustcheckError, r"got shape \(1,\)"),
        (torch.tensor([[75, 75]]), RobustcheckError, r"got shape \(1, 2\)"),
        (torch.tensor([0, 75]), RobustcheckError, "got values from 0 to 75"),
        (torch.tensor([75, 101]), RobustcheckError, "got values from 75 to 101"),
        (torch.tensor([75.0, 75.0]), TypeError, "integer tensor, got torch.float32"),
        (torch.tensor([True, True]), TypeError, "integer tensor, got torch.bool"),
    ],
)
def test_quality(call, quality, error, message):
    with pytest.raises(error, match=message):
        call(PIXELS, quality=quality)


def test_quality_may_be_numpys():
    assert torch.equal(jpeg.roundtrip(PIXELS, quality=np.int64(75)), jpeg.roundtrip(PIXELS))


@pytest.mark.parametrize("call", [jpeg.roundtrip, lambda x, **k: jpeg.differentiable(x.float(), **k)])
@pytest.mark.parametrize(
    ("subsampling", "error", "message"),
    [
        ("420", RobustcheckError, r"unknown subsampling '420'.*4:2:0, 4:2:2, 4:4:4"),
        ("4:1:1", RobustcheckError, "unknown subsampling"),
        (2, TypeError, "must be a string, got int"),
    ],
)
def test_subsampling(call, subsampling, error, message):
    with pytest.raises(error, match=message):
        call(PIXELS, subsampling=subsampling)


def test_codec():
    with pytest.raises(RobustcheckError, match="unknown codec 'pilow': did you mean 'pillow'"):
        jpeg.roundtrip(PIXELS, codec="pilow")
    with pytest.raises(TypeError, match="codec must be a string, got NoneType"):
        jpeg.roundtrip(PIXELS, codec=None)


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter takes CPU tensors")
def test_triton_without_cuda_says_what_else_there_is():
    with pytest.raises(RobustcheckError, match=r"needs CUDA tensors and Triton: .*codec='tensor'"):
        jpeg.roundtrip(PIXELS, codec="triton")


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (PIXELS, TypeError, "floating point, got torch.uint8.*jpeg.roundtrip"),
        (PIXELS - 1.0, RobustcheckError, r"within 0..255, got values from -1 to -1; clamp\(0, 255\)"),
        (PIXELS + 255.01, RobustcheckError, "within 0..255, got values from 255.01"),
        (PIXELS + float("nan"), RobustcheckError, "got values from nan"),
        (PIXELS + float("inf"), RobustcheckError, "to inf"),
        (PIXELS[0].float(), RobustcheckError, r"got \(3, 8, 8\)"),
        ([1.0], TypeError, "got list"),
    ],
)
def test_pixels_of_differentiable(images, error, message):
    with pytest.raises(error, match=message):
        jpeg.differentiable(images)


def test_one_nan_among_many_pixels_is_found():
    images = torch.full((2, 3, 40, 40), 100.0)
    images[1, 2, 30, 7] = float("nan")
    with pytest.raises(RobustcheckError, match="nan"):
        jpeg.differentiable(images)


def test_names_of_differentiable():
    with pytest.raises(RobustcheckError, match=r"unknown rounding 'cubics': did you mean 'cubic'"):
        jpeg.differentiable(PIXELS.float(), rounding="cubics")
    with pytest.raises(RobustcheckError, match=r"unknown gradient 'none'.*smooth, straight-through"):
        jpeg.differentiable(PIXELS.float(), gradient="none")
