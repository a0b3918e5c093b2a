from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet50_Weights
from torchvision.transforms import functional

from robustcheck import RobustcheckError
from robustcheck.images import open_images
from robustcheck.images.decoding import BadImage, decode
from robustcheck.limits import use_limits
from robustcheck.models import Preprocessing
from robustcheck.models.preprocessing import INTERPOLATIONS
from robustcheck.models.sources.torchvision import preprocessing_of_weights

RULE = Preprocessing.for_size(8)


def test_photographs_equal_torchvisions_own_transform_to_the_bit(photographs):
    weights = ResNet50_Weights.DEFAULT
    rule = preprocessing_of_weights(weights)
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


@pytest.mark.parametrize("way", INTERPOLATIONS)
@pytest.mark.parametrize("resize", [9, (12, 10), (8, 30), (17, 23)])
def test_each_interpolation_gives_torchvisions_pixels(write_image, way, resize):
    rule = Preprocessing((8, 9), resize, way)
    path = write_image("a.png", (23, 17))
    size = rule.resized(17, 23)
    resized = functional.resize(Image.open(path), list(size), functional.InterpolationMode(way))
    theirs = functional.crop(resized, *rule.crop_from(*size), 8, 9)
    assert (decode(path, rule) == np.asarray(theirs).transpose(2, 0, 1)).all()


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


def test_16_bit_grey_of_png_is_scaled_to_8(tmp_path):
    for level in (0, 128, 129, 257, 40_000, 65_535):
        Image.fromarray(np.full((16, 20), level, np.uint16)).save(tmp_path / "deep.png")
        assert (decode(tmp_path / "deep.png", RULE) == round(level / 257)).all()


@pytest.mark.parametrize(("dtype", "mode"), [(np.uint16, "I;16"), (np.int32, "I"), (np.float32, "F")])
def test_samples_whose_white_nobody_knows_are_not_cut_off_in_silence(tmp_path, dtype, mode):
    Image.fromarray(np.full((16, 20), 4000, dtype)).save(tmp_path / "deep.tif")
    with pytest.raises(
        RobustcheckError, match=rf"deep.tif' has more than 8 bits a sample \(Pillow's mode '{mode}' in TIFF"
    ):
        decode(tmp_path / "deep.tif", RULE)


@pytest.mark.parametrize(
    ("orientation", "at"), [(1, (0, 0)), (3, (7, 7)), (6, (0, 7)), (8, (7, 0)), (2, (0, 7))]
)
@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_photographs_are_turned_as_their_exif_says(tmp_path, extension, orientation, at):
    """The white corner, top left as stored, is where a viewer shows it."""
    stored = np.zeros((64, 64, 3), np.uint8)
    stored[:16, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / f"a.{extension}", exif=exif)
    pixels = decode(tmp_path / f"a.{extension}", Preprocessing(input_size=(8, 8), resize=(8, 8)))
    assert (pixels[:, at[0], at[1]] > 200).all()
    assert (pixels[0] > 100).sum() == 4


def test_broken_exif_does_not_spoil_a_whole_picture(tmp_path):
    Image.new("RGB", (20, 20), (9, 8, 7)).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*garbage")
    assert abs(int(decode(tmp_path / "a.jpg", RULE)[0, 4, 4]) - 9) < 3


def test_palette_alpha_and_grey_are_what_convert_makes_of_them(tmp_path):
    rgba = Image.new("RGBA", (20, 20), (200, 100, 50, 0))
    rgba.save(tmp_path / "clear.png")
    rgba.convert("P").save(tmp_path / "palette.png", transparency=b"\0\x80")
    Image.new("LA", (20, 20), (77, 3)).save(tmp_path / "grey.png")
    assert decode(tmp_path / "clear.png", RULE)[:, 4, 4].tolist() == [200, 100, 50]
    assert decode(tmp_path / "palette.png", RULE).shape == (3, 8, 8)
    assert decode(tmp_path / "grey.png", RULE)[:, 4, 4].tolist() == [77, 77, 77]


@pytest.mark.parametrize("extension", ["gif", "png", "webp"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, extension):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    frames[0].save(tmp_path / f"a.{extension}", save_all=True, append_images=frames[1:], lossless=True)
    red, green, _ = decode(tmp_path / f"a.{extension}", RULE)[:, 4, 4]
    assert red > 200
    assert green < 20


def test_progressive_and_misnamed_files_are_what_they_hold(photographs, tmp_path):
    whole = Image.open(photographs / "cat" / "chelsea.jpg")
    whole.save(tmp_path / "progressive.jpg", progressive=True, quality=95)
    whole.save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "misnamed.jpg")
    expected = decode(photographs / "cat" / "chelsea.jpg", RULE).astype(int)
    assert np.abs(decode(tmp_path / "misnamed.jpg", RULE) - expected).max() == 0
    assert np.abs(decode(tmp_path / "progressive.jpg", RULE) - expected).max() < 12


def test_channels_are_red_green_blue(tmp_path):
    Image.new("RGB", (10, 10), (200, 100, 50)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", RULE)[:, 4, 4].tolist() == [200, 100, 50]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (
            b"not an image",
            "cannot be decoded: Pillow finds no image in it \\(it begins with b'not an i'\\)",
        ),
        (b"\x89PNG\r\n\x1a\n", r"cannot be decoded: .* \(it begins with b.*PNG"),
        (b"\xff\xd8\xff\xe0", "cannot be decoded: Pillow finds no image in it"),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "is a pointer of Git LFS, not the image: run git lfs pull",
        ),
        (b"<!DOCTYPE html><html>Not found", r"is text, not an image: it begins with b'<!DOCTYPE html><'"),
    ],
)
def test_a_file_that_cannot_be_decoded_is_named(tmp_path, content, reason):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(
        RobustcheckError,
        match=rf"image '.*bad.png' {reason}.*Repair or remove it.*--robustcheck-bad-images=skip",
    ):
        decode(path, RULE)


def test_an_image_that_was_cut_off_is_named(photographs, tmp_path):
    whole = (photographs / "coffee" / "coffee.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RobustcheckError, match=r"cut.jpg' cannot be decoded .*truncated"):
        decode(tmp_path / "cut.jpg", RULE)


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(RobustcheckError, match=r"gone.png' does not exist, or is a broken link"):
        list(open_images(tmp_path, size=8))


def test_an_image_above_the_limit_is_refused_and_the_option_lets_it_in(write_image, monkeypatch):
    path = write_image("bomb.png", (40, 40))
    for pillows in (10**6, 1000, 500):  # above its own limit Pillow warns, above twice the limit it refuses
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows)
        with (
            use_limits({"pixels": 1599}),
            pytest.raises(RobustcheckError, match=r"bomb: .*pixels:1600\. Repair"),
        ):
            decode(path, RULE)
        with use_limits({"pixels": 1600}):
            decode(path, RULE)
        assert pillows == Image.MAX_IMAGE_PIXELS


def test_the_limit_holds_for_what_an_image_is_resized_to(write_image):
    path = write_image("thin.png", (2, 40))
    with use_limits({"pixels": 8 * 160}):
        decode(path, RULE)
    with (
        use_limits({"pixels": 8 * 160 - 1}),
        pytest.raises(BadImage, match="would be resized to 8x160: 1,280 pixels"),
    ):
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
