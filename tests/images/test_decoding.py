from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet50_Weights
from torchvision.transforms import functional

from robustcheck import RobustcheckError
from robustcheck.images import open_images
from robustcheck.images.decoding import decode
from robustcheck.models import Preprocessing
from robustcheck.models.torchvision import preprocessing_of

RULE = Preprocessing.for_size(8)


def test_photographs_equal_torchvisions_own_transform_to_the_bit(photographs):
    weights = ResNet50_Weights.DEFAULT
    rule = preprocessing_of(weights)
    transform = weights.transforms()
    (batch,) = open_images(photographs, size=rule)
    for pixels, name in zip(batch.pixels, batch.names, strict=True):
        theirs = transform(Image.open(photographs / name).convert("RGB"))
        assert functional.normalize(functional.convert_image_dtype(pixels), rule.mean, rule.std).equal(theirs)


def test_photographs_equal_timms_own_transform_to_the_bit(photographs):
    import timm

    config = timm.get_pretrained_cfg("tf_efficientnet_lite1").to_dict()
    rule = Preprocessing.from_timm(config, name="lite1")
    transform = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=config))
    (batch,) = open_images(photographs, size=rule)
    for pixels, name in zip(batch.pixels, batch.names, strict=True):
        theirs = transform(Image.open(photographs / name).convert("RGB"))
        assert functional.normalize(functional.convert_image_dtype(pixels), rule.mean, rule.std).equal(theirs)


@pytest.mark.parametrize("size", [(30, 20), (20, 30), (9, 9), (3, 50), (1, 1), (8, 400)])
def test_any_shape_comes_to_the_input_size(write_image, size):
    pixels = decode(write_image("a.png", size), RULE)
    assert pixels.shape == (3, 8, 8)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_other_colour_modes_are_read_as_rgb(write_image, tmp_path, mode):
    image = Image.open(write_image("rgb.png")).convert("RGB")
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    image.convert(mode).save(path)
    assert decode(path, RULE).shape == (3, 8, 8)


def test_more_than_8_bits_are_not_cut_off_in_silence(tmp_path):
    Image.fromarray(np.full((16, 20), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(RobustcheckError, match=r"deep.png' has more than 8 bits"):
        decode(tmp_path / "deep.png", RULE)


def test_channels_are_red_green_blue(tmp_path):
    Image.new("RGB", (10, 10), (200, 100, 50)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", RULE)[:, 4, 4].tolist() == [200, 100, 50]


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_a_file_that_cannot_be_decoded_is_named(tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(
        RobustcheckError, match=r"image '.*bad.png' cannot be decoded \(\w+: .*\); repair it or take it out"
    ):
        decode(path, RULE)


def test_an_image_that_was_cut_off_is_named(photographs, tmp_path):
    whole = (photographs / "coffee" / "coffee.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RobustcheckError, match=r"cut.jpg' cannot be decoded .*truncated"):
        decode(tmp_path / "cut.jpg", RULE)


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(RobustcheckError, match=r"gone.png' cannot be decoded .*No such file"):
        list(open_images(tmp_path, size=8))


def test_a_decompression_bomb_is_refused(write_image, monkeypatch):
    path = write_image("bomb.png", (40, 40))
    for limit in (1000, 500):  # above Pillow's limit it warns, above twice the limit it refuses
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(RobustcheckError, match=r"bomb.png' cannot be decoded .*decompression bomb"):
            decode(path, RULE)


def test_a_bad_image_stops_a_pass_where_it_stands(write_image, tmp_path):
    for name in "abcd":
        write_image(f"{name}.png")
    (tmp_path / "c.png").write_bytes(b"junk")
    stream = open_images(tmp_path, size=8).batches(2)
    assert next(stream).names == ("a.png", "b.png")
    with pytest.raises(RobustcheckError, match=r"c.png' cannot be decoded"):
        next(stream)


def test_pixels_do_not_depend_on_the_threads(photographs):
    image_set = open_images(photographs, size=64)
    one_by_one = torch.cat([batch.pixels for batch in image_set.batches(1)])
    assert torch.cat([batch.pixels for batch in image_set.batches(4)]).equal(one_by_one)
