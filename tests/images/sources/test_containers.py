"""Whatever the fixture `robustcheck_images` may return, `evaluate` takes as well, and reads the same images and labels."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from robustcheck import ImageSet, RobustcheckError, evaluate
from robustcheck.images import as_image_set
from robustcheck.notation import parse
from tests.toys import Linear, classifier_of, random_pixels

PIXELS = torch.from_numpy(random_pixels(6, seed=4))


def classifier(**options):
    return classifier_of(Linear(), **options)


LABELS = classifier()(PIXELS).argmax(1)
NAMES = ["hen", "cat", "dog", "ant"]
PAIRS = list(zip(PIXELS, LABELS, strict=True))


class Items(Dataset):
    """Images and labels, as a Dataset of one's own."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(PAIRS)


class ToTensor(Items):
    """As torchvision's with a transform."""

    transform = object()


def pictures():
    return [Image.fromarray(pixels.permute(1, 2, 0).numpy()) for pixels in PIXELS]


GIVEN = {
    "list": lambda: PAIRS,
    "dictionaries": lambda: [{"image": image, "label": label} for image, label in PAIRS],
    "generator": lambda: iter(PAIRS),
    "dataset": lambda: TensorDataset(PIXELS, LABELS),
    "own dataset": lambda: Items(PAIRS),
    "image set": lambda: ImageSet.from_arrays(PIXELS, LABELS.numpy()),
    "tensors": lambda: (PIXELS, LABELS),
    "arrays": lambda: (PIXELS.numpy(), LABELS.numpy()),
    "arrays in a list": lambda: [PIXELS.numpy(), LABELS.numpy()],
    "channels last": lambda: (PIXELS.permute(0, 2, 3, 1).numpy(), LABELS.tolist()),
    "floats": lambda: (PIXELS / 255, LABELS),
    "pictures and labels": lambda: (pictures(), LABELS.tolist()),
    "images in a list": lambda: ([*PIXELS], [*LABELS]),
    "loader": lambda: DataLoader(TensorDataset(PIXELS, LABELS), batch_size=4),
    "loader of floats": lambda: DataLoader(TensorDataset(PIXELS / 255, LABELS), batch_size=4),
    "shuffled loader": lambda: DataLoader(Items(PAIRS), batch_size=4, shuffle=True),
    "sequential loader": lambda: DataLoader(Items(PAIRS), sampler=SequentialSampler(PAIRS)),
    "loader of items": lambda: DataLoader(Items(PAIRS), batch_size=None),
    "loader of a stream": lambda: DataLoader(Stream(), batch_size=4),
}


@pytest.mark.parametrize("given", GIVEN)
def test_evaluate_takes_what_the_fixture_takes(given):
    records = evaluate(classifier(), GIVEN[given](), "Adv_2")
    expected = evaluate(classifier(), ImageSet.from_arrays(PIXELS, LABELS.numpy()), ["x", "Adv_2"])
    assert records.ids == expected.ids
    assert records.labels.tolist() == LABELS.tolist()
    np.testing.assert_array_equal(records.column("p_top", "Adv_2"), expected.column("p_top", "Adv_2"))


@pytest.mark.parametrize("path", [str, lambda path: path])
def test_evaluate_opens_folders_and_tables(tmp_path, path):
    for index, (picture, label) in enumerate(zip(pictures(), LABELS.tolist(), strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        picture.save(tmp_path / str(label) / f"{index}.png")
    (tmp_path / "list.csv").write_text("path,label\n0/1.png,0\n1/0.png,1\n")
    assert evaluate(classifier(), path(tmp_path), []).labels.tolist() == sorted(LABELS.tolist())
    assert evaluate(classifier(), path(tmp_path / "list.csv"), []).labels.tolist() == [0, 1]


@pytest.mark.parametrize("views", ["Adv_2", parse("Adv_2"), ["Adv_2"], (parse("Adv_2"),), {"Adv_2": 1}])
def test_one_view_is_as_good_as_several(views):
    assert list(map(str, evaluate(classifier(), PAIRS, views).views)) == ["x", "Adv_2"]


def test_two_images_are_no_pair_and_two_items_neither():
    for given in ([PIXELS[0], PIXELS[1]], [PAIRS[0], PAIRS[1]], (PAIRS[0], PAIRS[1]), PIXELS[:2]):
        assert len(as_image_set(given, classifier().preprocessing, name="mine")) == 2
    two = as_image_set((PIXELS[:2], LABELS[:2]), classifier().preprocessing, name="mine")
    assert two.labels.tolist() == LABELS[:2].tolist()
    grey = as_image_set((PIXELS[:2, 0], LABELS[:2]), classifier().preprocessing, name="mine")
    assert grey.labels.tolist() == LABELS[:2].tolist()


def collate(items):
    return items


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sampler": SubsetRandomSampler([0, 1])}, "the sampler SubsetRandomSampler"),
        ({"sampler": WeightedRandomSampler([1.0] * 6, 6)}, "the sampler WeightedRandomSampler"),
        ({"sampler": RandomSampler(PAIRS, replacement=True)}, "the sampler RandomSampler"),
        ({"sampler": RandomSampler(PAIRS, num_samples=3)}, "the sampler RandomSampler"),
        ({"sampler": [0, 0, 1]}, "the sampler list"),
        ({"batch_sampler": [[0, 1], [2]]}, "the batch_sampler list"),
        (
            {"batch_sampler": BatchSampler(SubsetRandomSampler([0]), 1, drop_last=False)},
            "SubsetRandomSampler",
        ),
        ({"collate_fn": collate}, "the collate_fn collate"),
    ],
)
def test_a_loader_that_is_more_than_its_dataset_is_refused_with_the_lines_to_write(options, reason):
    dataset, indices = Items(PAIRS), [0, 2]
    loader = DataLoader(dataset, **options)
    with pytest.raises(RobustcheckError, match=f"got a DataLoader with .*{reason}") as error:
        evaluate(classifier(), loader, "x")
    lines = [line[4:] for line in str(error.value).splitlines() if line.startswith("    ")]
    assert len(lines) == 3
    names = {"pytest": SimpleNamespace(fixture=lambda **_: lambda function: function)}
    exec(
        "\n".join(lines),
        names | {"torch": torch, "dataset": dataset, "loader": loader, "indices": indices},
        names,
    )
    code = names["robustcheck_images"].__code__
    assert set(code.co_names) <= {"torch", "utils", "data", "Subset", "dataset", "loader", "indices"}


def normalised():
    return (PIXELS / 255 - 0.5) / 0.25


def test_normalised_images_are_refused_with_the_lines_that_undo_it():
    for given in [
        (normalised(), LABELS),
        DataLoader(TensorDataset(normalised(), LABELS)),
        Items([*normalised()]),
    ]:
        with pytest.raises(RobustcheckError, match="must be pixel levels") as error:
            evaluate(classifier(), given, "x")
        lines = [line[4:] for line in str(error.value).splitlines() if line.startswith("    ")]
        assert len(lines) == 3
    names = {"torch": torch, "MEAN": [0.5] * 3, "STD": [0.25] * 3, "X": normalised(), "y": LABELS}
    exec("\n".join(lines[:2]), names)
    assert torch.equal(names["pixels"], PIXELS)


def test_a_dataset_that_normalises_is_told_to_leave_its_transform_out():
    items = [(image, 0) for image in normalised()]
    for given in [ToTensor(items), DataLoader(ToTensor(items)), DataLoader(Subset(ToTensor(items), [1]))]:
        with pytest.raises(RobustcheckError, match="must be pixel levels") as error:
            evaluate(classifier(), given, "x")
        assert "\n    dataset.transform = None" in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((PIXELS, LABELS[:5]), "a label for each image, got 6 images and 5 labels"),
        (
            iter([(PIXELS, LABELS)]),
            r"must be one image, or .*, got a batch of shape \(6, 3, 16, 16\): .* pair \(X, y\)",
        ),
        ([(PIXELS, LABELS), (PIXELS, LABELS)], "got a batch of shape"),
        (
            {"images": PIXELS, "target": LABELS},
            r"pair \(X, y\).*, got a dict with 'images', 'target': give the parts",
        ),
        ({"train": PAIRS}, r"got a dict with 'train': .*datasets\['test'\]"),
        ((PIXELS.float(), LABELS), r"floats in 0..1, got float32 up to 255: give images.astype\('uint8'\)"),
        ((PIXELS.long(), LABELS), r"got int64: give images.astype\('uint8'\)"),
        ((PIXELS.int() * 300, LABELS), "got int32$"),
        ([(PIXELS[0], torch.eye(4)[1])], r"got shape \(4,\): of a one-hot label give label.argmax\(\)"),
        (7, "must be a folder, an ImageSet.*got int"),
    ],
)
def test_what_can_t_be_images_says_what_to_give(given, message):
    with pytest.raises(RobustcheckError, match=message):
        evaluate(classifier(), given, "x")


@pytest.mark.parametrize("given", ["resnet18", None, Linear()])
def test_a_model_that_is_none_says_what_to_give(given):
    with pytest.raises(
        RobustcheckError, match=r"classifier must be .*, got .*(load_model\('resnet18'\)|NoneType|Linear)"
    ):
        evaluate(given, PAIRS, "x")


# ------------------------------------------------------------------------------------------------ names of classes


AT_CHANCE = pytest.mark.filterwarnings("ignore:.*clean accuracy is at chance")


def named(names=NAMES):
    return [(image, names[label]) for image, label in PAIRS]


@AT_CHANCE
@pytest.mark.parametrize("order", [NAMES, sorted(NAMES), NAMES[::-1]])
def test_names_as_labels_get_the_numbers_of_the_classifier(order):
    expected = [order.index(NAMES[label]) for label in LABELS.tolist()]
    assert evaluate(classifier(class_names=order), named(), []).labels.tolist() == expected
    own = ImageSet.from_arrays(PIXELS, LABELS.numpy(), class_names=NAMES)
    assert evaluate(classifier(class_names=order), own, []).labels.tolist() == expected


def test_names_as_labels_of_a_classifier_without_names_say_how_to_give_them(tmp_path):
    pictures()[0].save(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("path,label\na.png,cat\n")
    for given in [named(), (PIXELS, [NAMES[label] for label in LABELS]), tmp_path / "list.csv"]:
        with pytest.raises(
            RobustcheckError, match=r"(?s)are names \('.*toy does not know .* class_names=\["
        ) as error:
            evaluate(classifier(), given, "x")
        assert "# 4 names: of class 0, of class 1" in str(error.value)


@AT_CHANCE
def test_a_dataset_s_own_classes_give_names_their_numbers():
    dataset = Items(named())
    dataset.classes = NAMES
    for given in [dataset, DataLoader(dataset), Subset(dataset, range(6))]:
        assert evaluate(classifier(), given, []).labels.tolist() == LABELS.tolist()
    dataset.classes = NAMES[1:]
    with pytest.raises(RobustcheckError, match="must be among its classes, cat, dog, ant, got 'hen'"):
        evaluate(classifier(), dataset, [])


@AT_CHANCE
def test_classes_of_subsets_loaders_and_features_are_matched_by_name():
    dataset = Items(PAIRS)
    dataset.classes = NAMES
    features = Items(PAIRS)
    features.features = {"image": None, "label": SimpleNamespace(names=NAMES)}
    order = sorted(NAMES)
    expected = [order.index(NAMES[label]) for label in LABELS.tolist()]
    for given in [dataset, Subset(dataset, range(6)), DataLoader(Subset(dataset, range(6))), features]:
        assert evaluate(classifier(class_names=order), given, []).labels.tolist() == expected


def test_columns_of_data_frames_are_read_in_order_and_whole_frames_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"image": list(PIXELS), "label": LABELS.tolist()}, index=range(9, 3, -1))
    assert (
        evaluate(classifier(), (list(frame["image"]), list(frame["label"])), []).labels.tolist()
        == LABELS.tolist()
    )
    assert len(as_image_set(frame["image"], classifier().preprocessing, name="theirs")) == 6
    with pytest.raises(RobustcheckError, match=r"got a DataFrame: of images give \(list\(frame\['image'\]\)"):
        as_image_set(frame, classifier().preprocessing, name="theirs")


def test_a_pair_of_an_array_of_arrays_and_names_is_one():
    images = np.empty(6, object)
    images[:] = list(PIXELS.numpy())
    found = as_image_set((images, np.array(LABELS.tolist())), classifier().preprocessing, name="theirs")
    assert found.labels.tolist() == LABELS.tolist()


def test_a_pair_is_what_the_fixture_may_return(pytester):
    pytester.makepyfile(
        """
        import pytest, torch
        from tests.images.sources import test_containers as own

        @pytest.fixture(scope="session")
        def robustcheck_model():
            return own.classifier(class_names=sorted(own.NAMES))

        @pytest.fixture(scope="session")
        def robustcheck_images():
            return own.PIXELS, [own.NAMES[label] for label in own.LABELS]

        def test_it(robustness):
            order = sorted(own.NAMES)
            expected = [order.index(own.NAMES[label]) for label in own.LABELS.tolist()]
            assert robustness.images.labels.tolist() == expected
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)
