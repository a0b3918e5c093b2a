"""Images of a user's list, generator or Dataset: what is read, and the checks that files have."""

from collections import namedtuple
from io import BytesIO
from itertools import repeat

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset
from torchvision.datasets import FakeData, ImageFolder
from torchvision.transforms.functional import normalize, to_tensor

from robustcheck import ImageSet, RobustcheckError
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


Pair = namedtuple("Pair", "image label")


class Mapped(Dataset):
    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.make(PICTURES[index], index)


class Streamed(IterableDataset):
    def __iter__(self):
        return iter([(picture, index) for index, picture in enumerate(PICTURES)])


EXPECTED = [next(iter(image_set_of([picture], RULE, name="one"))).pixels[0].numpy() for picture in PICTURES]


@pytest.mark.parametrize(
    "given",
    [
        Mapped(lambda picture, index: (picture, index)),
        Mapped(lambda picture, index: (np.asarray(picture), np.int64(index))),
        Mapped(
            lambda picture, index: (torch.from_numpy(np.array(picture)).permute(2, 0, 1), torch.tensor(index))
        ),
        Mapped(lambda picture, index: (to_tensor(picture), index)),
        Mapped(lambda picture, index: {"image": picture, "label": index}),
        Mapped(lambda picture, index: {"img": picture, "fine_label": index, "coarse_label": 9}),
        [(picture, index) for index, picture in enumerate(PICTURES)],
        [Pair(picture, index) for index, picture in enumerate(PICTURES)],
        Streamed(),
        ((picture, index) for index, picture in enumerate(PICTURES)),
    ],
    ids=lambda given: type(given).__name__,
)
def test_objects_that_give_images_and_labels_are_read(given):
    images = image_set_of(given, RULE, name="theirs")
    assert images.labels.tolist() == [0, 1, 2, 3]
    for _ in range(2):
        assert np.array_equal(pixels_of(images).numpy(), np.stack(EXPECTED))
    assert images.name.startswith("theirs (")


def test_images_of_the_classifiers_size_are_taken_as_they_are():
    levels = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    images = image_set_of(TensorDataset(levels, torch.tensor([2, 0, 1])), RULE, name="theirs")
    assert pixels_of(images).equal(levels)
    assert images.labels.tolist() == [2, 0, 1]
    as_floats = image_set_of([level.float() / 255 for level in levels], RULE, name="theirs")
    assert pixels_of(as_floats).equal(levels)
    assert not as_floats.has_labels


def test_torchvisions_datasets_give_class_names_and_their_labels_without_decoding(photographs, monkeypatch):
    folder = ImageFolder(str(photographs))
    monkeypatch.setattr(ImageFolder, "__getitem__", lambda self, index: (_ for _ in ()).throw(OSError("no")))
    images = image_set_of(folder, RULE, name="theirs")
    assert images.labels.tolist() == [0, 1, 2, 3]
    assert images.class_names == ("astronaut", "cat", "coffee", "rocket")
    assert len(image_set_of(FakeData(3, (3, 20, 20)), RULE, name="theirs").ids) == 3


def test_what_was_done_to_the_pixels_is_said(photographs, tmp_path):
    as_given = r"as given (8x8), mean"
    level = torch.zeros(3, 8, 8, dtype=torch.uint8)
    for given in ([level], [level.permute(1, 2, 0).numpy()], ((each, 0) for each in [level])):
        assert image_set_of(given, RULE, name="theirs").source.preparation(RULE).startswith(as_given)
    assert ImageSet.from_arrays(level[None]).subset([0]).source.preparation(RULE).startswith(as_given)
    for given in ([PICTURES[0]], [torch.zeros(3, 9, 9, dtype=torch.uint8)]):
        assert image_set_of(given, RULE, name="theirs").source.preparation(RULE) == RULE.describe()
    assert open_images(photographs, size=RULE).subset([0]).source.preparation(RULE) == RULE.describe()
    assert RULE.describe().startswith("8x8 as it is, else shorter side to 8")
    assert not Preprocessing.for_size(8, resize=9).describe().startswith("8x8 as it is")


def test_names_serve_as_labels():
    images = image_set_of([(PICTURES[0], "dog"), (PICTURES[1], "cat")], RULE, name="theirs")
    assert images.labels.tolist() == [1, 0]
    assert images.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [(normalize(to_tensor(PICTURES[0]), (0.5,) * 3, (0.5,) * 3), 1)],
            "must be pixel levels, .*: remove normalisation",
        ),
        ([(PICTURES[0], 1, 2)], r"theirs\[0\] must be \(image, label\), got a tuple of 3"),
        ([(PICTURES[0], [1, 2])], r"theirs\[0\]: the label must be a class index or a class name, got list"),
        ([(PICTURES[0], True)], r"class name, got bool: give int\(label\), with True as class 1"),
        ([(PICTURES[0], np.bool_(True))], r"got bool: give int\(label\)"),
        ([(PICTURES[0], torch.tensor(True))], r"got bool: give int\(label\)"),
        (
            [(PICTURES[0], torch.tensor([0, 1]))],
            r"theirs\[0\]: the label must be one class index, got shape \(2,\)",
        ),
        ([{"picture_data": 1}], r"theirs\[0\] must have the keys image and label, got picture_data"),
        ([np.zeros((4, 9, 9), np.uint8)], r"theirs\[0\] must have shape \(3, H, W\), .*, got \(4, 9, 9\)"),
        ([np.zeros((3, 9, 9), np.int64)], r"theirs\[0\] must be uint8 in 0..255, got int64"),
        ([np.full((3, 9, 9), 1.5)], "must be pixel levels, got float64 from 1.5 to 1.5"),
        ([np.full((3, 9, 9), np.nan)], "must be pixel levels"),
        (
            [(PICTURES[0], 1), (PICTURES[1], "dog")],
            r"got 'dog' in theirs\[1\] and '1' in theirs\[0\]",
        ),
        ([(PICTURES[0], -5)], r"theirs\[0\]: label must be a class index, .*, got '-5'"),
        ((1 / 0 for _ in range(3)), "theirs, item 0: the iterable failed with ZeroDivisionError"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_objects_that_give_something_else_are_refused_with_the_item(given, message):
    with pytest.raises(RobustcheckError, match=message):
        pixels_of(image_set_of(given, RULE, name="theirs"))


@pytest.mark.parametrize("kind", [list, iter], ids=["list", "iterator"])
def test_images_of_a_list_are_called_by_their_number(kind):
    images = image_set_of(
        kind([(PICTURES[0], 0), (PICTURES[1], 1)]), RULE, name="the fixture robustcheck_images"
    )
    assert images.names == ("image 0", "image 1")


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


@pytest.mark.parametrize("targets", [None, (0, 1, 2, 3)])
def test_an_item_that_fails_is_a_bad_image_with_or_without_targets(targets):
    def make(picture, index):
        if index == 2:
            raise OSError("disk on fire")
        return picture, index

    dataset = Mapped(make)
    dataset.targets = targets
    images = image_set_of(dataset, RULE, name="theirs")
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


LEVELS = torch.arange(192, dtype=torch.uint8).reshape(3, 8, 8)


def test_half_precision_levels_are_read_and_resized_ones_are_refused():
    half = (LEVELS / 255).half()
    for given in (half, half.numpy()):
        assert pixels_of(image_set_of([given], RULE, name="theirs"))[0].equal(LEVELS)
    with pytest.raises(RobustcheckError, match="must be pixel levels"):
        pixels_of(image_set_of([((LEVELS.float() + 0.3) / 256).half()], RULE, name="theirs"))


def test_subclasses_of_arrays_are_arrays():
    with pytest.warns(PendingDeprecationWarning, match="matrix"):
        matrix = np.matrix(LEVELS[0].numpy())
    assert pixels_of(image_set_of([matrix], RULE, name="theirs"))[0, 2].equal(LEVELS[0])


def test_an_iterable_dataset_with_a_length_is_iterated():
    class Streamed(IterableDataset):
        def __iter__(self):
            return iter([(LEVELS, 1), (LEVELS, 0)])

        def __len__(self):
            return 7  # which torch allows to be wrong

    assert image_set_of(Streamed(), RULE, name="theirs").labels.tolist() == [1, 0]


def test_a_dataset_needs_its_length():
    class NoLength(Dataset):
        def __getitem__(self, index):
            return LEVELS

    class BrokenLength(NoLength):
        def __len__(self):
            raise NotImplementedError("later")

    with pytest.raises(
        RobustcheckError, match="theirs must have a length, got NoLength without __len__: give it one"
    ):
        image_set_of(NoLength(), RULE, name="theirs")
    with pytest.raises(
        RobustcheckError, match=r"must have a length, got NotImplementedError of its __len__ \(later\)"
    ):
        image_set_of(BrokenLength(), RULE, name="theirs")


def test_an_iterable_without_end_stops_at_a_limit():
    with (
        use_limits({"item-bytes": 10 * LEVELS.numel()}),
        pytest.raises(RobustcheckError, match=r"gave 11 images .*--robustcheck-input-limits=item-bytes:2112"),
    ):
        image_set_of(repeat(LEVELS), RULE, name="theirs")
    with use_limits({"item-bytes": 10 * LEVELS.numel()}):
        assert len(image_set_of(repeat(LEVELS, 10), RULE, name="theirs")) == 10


def test_a_path_as_an_item_is_refused_with_what_to_give():
    with pytest.raises(RobustcheckError, match=r"got str: give PIL.Image.open\(path\), or a table"):
        pixels_of(image_set_of([("a.png", 1)], RULE, name="theirs"))
