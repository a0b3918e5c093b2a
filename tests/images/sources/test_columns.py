"""What a label may be."""

import numpy as np
import pytest

from robustcheck import RobustcheckError
from robustcheck.images import open_images
from robustcheck.images.sources.columns import as_labels


@pytest.mark.parametrize(
    ("values", "labels", "names"),
    [
        ([3, np.int64(0), None, -1], [3, 0, -1, -1], None),
        (["3", " 0", "", "-1"], [3, 0, -1, -1], None),
        ([3.0, float("nan"), "2.0"], [3, -1, 2], None),
        (["dog", "cat ", ""], [1, 0, -1], ["cat", "dog"]),
        (["3d", "a (b)", "n01440764", "\u72ac"], [0, 1, 2, 3], ["3d", "a (b)", "n01440764", "\u72ac"]),
    ],
)
def test_a_label_is_an_index_a_name_or_nothing(values, labels, names):
    assert as_labels(values, ["here"] * len(values)) == (labels, names)


@pytest.mark.parametrize(
    "value",
    ["007", "1e3", "0x1F", "1_000", "nan", "-inf", "+1", "\u0663", "1.5", "3 5", "1,2", "1;2", "[cat]", "['a', 'b']", "()", "--",
     "9" * 5000, 2**40, -2, 1.5, True, np.bool_(False), [1], ("a", "b"), {"a": 1}, b"cat", 1j, object()],
    ids=lambda value: f"{type(value).__name__} {value}"[:20],
)  # fmt: skip
def test_nothing_else_is_taken_for_a_label(value):
    with pytest.raises(
        RobustcheckError, match=r"^here: label must be a class index, .* or it must be a class name"
    ) as raised:
        as_labels([value], ["here"])
    assert len(str(raised.value)) < 300


def test_columns_that_are_there_twice_are_refused(tmp_path):
    def write(text):
        (tmp_path / "list.csv").write_text(text)
        return tmp_path / "list.csv"

    with pytest.raises(
        RobustcheckError, match="must have one column 'label' for the label, got 2: rename the others"
    ):
        open_images(write("path,label,label\na.png,1,2\n"), size=8)
    assert open_images(write("path,label,x,x\na.png,1,2,3\n"), size=8).labels.tolist() == [1]
