"""Every codec gives Pillow's pixels, whatever the picture, its size, its layout and torch's settings."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck import jpeg
from robustcheck.jpeg import tensor
from robustcheck.jpeg.roundtrip import fastest_codec
from tests.toys import through_pillow

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
CODECS = ("pillow", "tensor")
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


@pytest.fixture(params=SUBSAMPLINGS)
def subsampling(request):
    return request.param


@pytest.fixture(params=CODECS)
def codec(request):
    return request.param


def test_every_small_size(picture, subsampling):
    wrong = []
    for height, width in product(range(1, 19), repeat=2):
        image = picture("noise", height, width)
        result = jpeg.roundtrip(image, quality=60, subsampling=subsampling, codec="tensor")
        if not torch.equal(result, through_pillow(image, 60, subsampling)):
            wrong.append((height, width))
    assert not wrong


def test_every_height_and_width_to_seventy(picture, codec, subsampling):
    for height in range(1, 71):
        image = picture("noise", height, height * 27 % 71)
        result = jpeg.roundtrip(image, quality=90, subsampling=subsampling, codec=codec)
        assert torch.equal(result, through_pillow(image, 90, subsampling)), image.shape


@pytest.mark.parametrize("size", [(223, 225), (231, 231), (224, 224), (375, 500)])
def test_sizes_of_studies(picture, codec, subsampling, size):
    image = picture("slope", *size)
    result = jpeg.roundtrip(image, subsampling=subsampling, codec=codec)
    assert torch.equal(result, through_pillow(image, 75, subsampling))


def test_every_quality_in_one_batch(photograph, codec, subsampling):
    images = photograph("astronaut", 40, 56, top=80, left=180).repeat(100, 1, 1, 1)
    qualities = torch.arange(1, 101)
    result = jpeg.roundtrip(images, quality=qualities, subsampling=subsampling, codec=codec)
    assert torch.equal(result, through_pillow(images, qualities, subsampling))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_plain_and_attacked(photograph, codec, subsampling, name):
    image = photograph(name, 231, 225)
    signs = torch.randint(0, 2, image.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    attacked = [(image + step * signs).clamp(0, 255).to(torch.uint8) for step in (1, 5)]
    images = torch.cat((image, *attacked))
    for quality in (10, 50, 75, 95):
        result = jpeg.roundtrip(images, quality=quality, subsampling=subsampling, codec=codec)
        assert torch.equal(result, through_pillow(images, quality, subsampling)), quality


@pytest.mark.parametrize("kind", ["noise", "flat", "saturated", "checkerboard", "slope"])
def test_drawn_pictures(picture, codec, subsampling, kind):
    images = picture(kind, 45, 51).repeat(5, 1, 1, 1)
    qualities = torch.tensor([4, 25, 75, 92, 100])
    result = jpeg.roundtrip(images, quality=qualities, subsampling=subsampling, codec=codec)
    assert torch.equal(result, through_pillow(images, qualities, subsampling))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    quality=st.lists(st.integers(1, 100), min_size=1, max_size=3),
    subsampling=st.sampled_from(SUBSAMPLINGS),
    seed=st.integers(0, 2**32),
)
def test_random_batches(size, quality, subsampling, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (len(quality), 3, *size), dtype=torch.uint8, generator=generator)
    expected = through_pillow(images, quality, subsampling)
    for name in ("auto", *CODECS):
        result = jpeg.roundtrip(images, quality=torch.tensor(quality), subsampling=subsampling, codec=name)
        assert torch.equal(result, expected), name


@pytest.mark.parametrize(
    "laid_out",
    [
        pytest.param(lambda x: x.contiguous(memory_format=torch.channels_last), id="channels_last"),
        pytest.param(lambda x: x[:, :, 3:-2, 1::2], id="sliced"),
        pytest.param(lambda x: x.transpose(2, 3), id="transposed"),
        pytest.param(lambda x: x[:1].expand(4, -1, -1, -1), id="expanded"),
        pytest.param(lambda x: x[:, :1].expand(-1, 3, -1, -1), id="grey by strides"),
    ],
)
def test_any_strides_in_contiguous_out_input_untouched(photograph, codec, laid_out):
    images = laid_out(torch.cat([photograph(name, 50, 61) for name in PHOTOGRAPHS]))
    before = images.clone()
    result = jpeg.roundtrip(images, codec=codec)
    assert torch.equal(result, through_pillow(before))
    assert torch.equal(images, before)
    assert result.is_contiguous()
    assert result.dtype is torch.uint8


@pytest.fixture
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_settings_of_torch_change_nothing(photograph, codec, float64_by_default):
    image = photograph("coffee", 64, 80)
    expected = through_pillow(image, 40)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        assert torch.equal(jpeg.roundtrip(image, quality=40, codec=codec), expected)
        assert torch.equal(jpeg.roundtrip(image.clone(), quality=40, codec=codec), expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads(photograph, codec, threads):
    images = torch.cat([photograph(name, 40, 48) for name in PHOTOGRAPHS])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        result = jpeg.roundtrip(images, codec=codec)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(result, through_pillow(images))


def test_chunks_keep_each_image_with_its_own_quality(photograph):
    size = (240, 300)  # two images a chunk
    assert tensor.images_at_once(photograph("rocket", *size)) == 2
    images = torch.cat(
        [photograph(name, *size) for name in PHOTOGRAPHS] + [photograph("rocket", *size, 0, 0)]
    )
    qualities = torch.tensor([10, 30, 50, 70, 90])
    assert torch.equal(
        jpeg.roundtrip(images, quality=qualities, codec="tensor"), through_pillow(images, qualities)
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_quality_as_a_tensor_of_one(photograph, dtype):
    image = photograph("rocket", 30, 30)
    assert torch.equal(
        jpeg.roundtrip(image, quality=torch.tensor(33, dtype=dtype)), through_pillow(image, 33)
    )


@pytest.mark.parametrize("codec", ["auto", "pillow", "tensor"])
def test_an_empty_batch_comes_back_empty(codec):
    result = jpeg.roundtrip(torch.empty(0, 3, 20, 30, dtype=torch.uint8), codec=codec)
    assert result.shape == (0, 3, 20, 30)
    assert result.dtype is torch.uint8


def test_defaults_are_pillows(photograph):
    image = photograph("chelsea", 100, 90)
    assert torch.equal(jpeg.roundtrip(image), through_pillow(image, 75, "4:2:0"))
    assert not torch.equal(jpeg.roundtrip(image), jpeg.roundtrip(image, subsampling="4:4:4"))


def test_auto_on_the_cpu_takes_pillow():
    assert fastest_codec(torch.device("cpu")) == "pillow"
