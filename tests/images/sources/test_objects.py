"""Pictures that a user's list, generator or Dataset gives have the checks that files have."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from robustcheck import RobustcheckError
from robustcheck.images import image_set_of, open_images
from robustcheck.images.decoding import BadImage
from robustcheck.limits import use_limits
from robustcheck.models import Preprocessing

RULE = Preprocessing.for_size(8)
PICTURES = [
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (20, 16, 3), dtype=np.uint8)) for i in range(4)
]


def pixels_of(images):
    return torch.cat([batch.pixels for batch in images])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files whose pictures a list, a generator or a Dataset may give as well."""
    folder = tmp_path_factory.mktemp("pictures")
    levels = np.random.default_rng(0).integers(0, 65536, (20, 16))
    Image.fromarray(levels.astype(np.uint16)).save(folder / "deep.png")
    Image.fromarray(levels.astype(np.int32)).save(folder / "integers.tif")
    Image.fromarray((levels / 65535).astype(np.float32)).save(folder / "floats.tif")
    PICTURES[0].quantize(16).save(folder / "palette.png", transparency=bytes(16))
    PICTURES[1].convert("LA").save(folder / "grey.png")
    PICTURES[2].save(folder / "plain.jpg")
    (folder / "cut.jpg").write_bytes((folder / "plain.jpg").read_bytes()[:-80])
    exif = Image.Exif()
    exif[0x0112] = 6
    PICTURES[3].save(folder / "turned.png", exif=exif)
    Image.new("L", (1, 5000)).save(folder / "thin.png")
    return folder


def became_of(images, position):
    """Return the pixels of an image, or why it is bad, without its name."""
    try:
        return pixels_of(images.subset([position])).numpy().tobytes()
    except BadImage as error:
        return error.reason[:30]


def became(images):
    return [became_of(images, position) for position in range(len(images))]


class Files(Dataset):
    def __init__(self, folder):
        self.paths = sorted(folder.iterdir())

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return Image.open(BytesIO(self.paths[index].read_bytes())), index


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "way",
    [Files, lambda folder: [picture for picture, _ in Files(folder)], lambda folder: (item for item in Files(folder))],
    ids=["dataset", "list", "generator"],
)  # fmt: skip
def test_pictures_of_pillow_are_treated_as_their_files_are(pictures, way):
    with use_limits({"pixels": 200_000}):
        files, given = (
            open_images(pictures, size=64),
            image_set_of(way(pictures), Preprocessing.for_size(64), name="theirs"),
        )
        expected = became(files)
        assert sum(isinstance(each, str) for each in expected) == 4
        assert became(given) == expected
        assert len(given.readable()) == len(files) - 4


def test_an_item_that_fails_is_a_bad_image_with_or_without_targets():
    def make(picture, index):
        if index == 2:
            raise OSError("disk on fire")
        return picture, index

    class Failing(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return make(PICTURES[index], index)

    images = image_set_of(Failing(), RULE, name="theirs")
    assert images.readable().labels.tolist() == [0, 1, 3]
    with pytest.raises(
        BadImage, match=r"theirs\[2\]' could not be read from its dataset \(OSError: disk on fire\)"
    ):
        pixels_of(images)


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_arrays_of_pillow_with_more_than_8_bits_are_refused(mode):
    dtype = {"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode]
    images = image_set_of([Image.fromarray(np.zeros((9, 9), dtype))], RULE, name="theirs")
    with pytest.raises(
        BadImage, match=r"more than 8 bits a sample \(Pillow's mode .* in memory\) of unknown range"
    ):
        pixels_of(images)


def test_an_unread_file_of_another_format_is_refused(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.tga")
    with (
        Image.open(tmp_path / "a.tga") as unread,
        pytest.raises(BadImage, match=r"of the format TGA, .*: call its load"),
    ):
        pixels_of(image_set_of([unread], RULE, name="theirs"))
    with Image.open(tmp_path / "a.tga") as read:
        read.load()
        assert len(pixels_of(image_set_of([read], RULE, name="theirs"))) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_other_floats_are_read_where_they_are_pixel_levels(dtype):
    for value in (0, 1):
        images = image_set_of([torch.full((3, 8, 8), value, dtype=dtype)], RULE, name="theirs")
        assert (pixels_of(images) == 255 * value).all()


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(3, 8, 8, device="meta"), torch.zeros(3, 8, 8).to_sparse(), torch.zeros(3, 8, 8, dtype=torch.complex64)],
    ids=["meta", "sparse", "complex"],
)  # fmt: skip
def test_tensors_without_pixel_levels_are_refused(tensor):
    with pytest.raises(RobustcheckError, match=r"theirs\[0\] must be"):
        pixels_of(image_set_of([tensor], RULE, name="theirs"))
