"""Files of records: equal whoever reads them, and an error where they are damaged."""

import csv
import gzip
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck import Records, RobustcheckError
from robustcheck.notation import parse
from robustcheck.records import COLUMNS, as_rows
from robustcheck.records.csv import dumps, load, loads, save
from robustcheck.records.provenance import Provenance
from robustcheck.records.tables import read, write
from tests.records.test_records import records

NAMES = (
    "NA", "nan", "NULL", "null", "None", "007", "1e5", "0x1F", "True", "2026-11-27", "12:30", "=1+1", "+1", "-1", "@SUM(A1)",
    "#", "a#b.png", 'quo"te', "comma,semi;colon", "line\nbreak", " blank ", "tab\tbed", "back\\slash", "\udcff.png", "é\u202e.png", "",
)  # fmt: skip


def odd():
    """An image for each odd name; the last is not seen under Adv_1, the first has no label."""
    count = len(NAMES)
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    labels[0] = -1
    views = {}
    for view in ("x", "Adv_1", "PGD_8[steps=2,norm=2]"):
        prediction = random.integers(0, 3, count)
        columns = {
            "prediction": prediction,
            "correct": np.where(labels < 0, np.nan, prediction == labels),
            "p_top": random.choice([0.0, 1.0, 1e-9, 1 / 3], count),
            "kept": np.ones(count),
            "linf": np.ones(count),
            "l2": np.full(count, 2.0),
            "rising": {"x": np.zeros(count), "Adv_1": np.full(count, np.nan)}.get(
                view, random.integers(0, 2, count)
            ),
        }
        views[parse(view)] = as_rows(columns)
    last = views[parse("Adv_1")]
    last["prediction"][-1] = -1
    for name in COLUMNS[1:]:
        last[name][-1] = np.nan
    ids = tuple(f"{at:02}e{at}" for at in range(count))
    provenance = Provenance.from_header({"model": 'a "toy", weights 0123'})
    return Records(ids, NAMES, labels, views, provenance, np.arange(count)[::-1].copy())


def same(one, other):
    assert (one.ids, one.names, one.views, one.provenance) == (
        other.ids,
        other.names,
        other.views,
        other.provenance,
    )
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.order, other.order)
    for view in one.views:
        for name in COLUMNS:
            np.testing.assert_array_equal(
                one.columns[view][name], other.columns[view][name], f"{name} of {view}"
            )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_holds_the_records_exactly(tmp_path, suffix):
    write(odd(), tmp_path / f"r{suffix}", {"note": "ä"})
    back, header = read(tmp_path / f"r{suffix}")
    names = tuple(name.replace("\udcff", "\\udcff") for name in NAMES) if suffix == ".parquet" else NAMES
    same(back, replace(odd(), names=names))
    assert header["note"] == "ä"


def read_by_pandas(path):
    import pandas as pd

    return (pd.read_csv if path.suffix == ".csv" else pd.read_parquet)(path).to_dict("list")


def read_by_pyarrow(path):
    from pyarrow import csv as arrow
    from pyarrow import parquet

    table = arrow.read_csv(path) if path.suffix == ".csv" else parquet.read_table(path)
    return table.to_pydict()


def read_by_polars(path):
    polars = pytest.importorskip("polars")
    return (polars.read_csv if path.suffix == ".csv" else polars.read_parquet)(path).to_dict(as_series=False)


def read_by_duckdb(path):
    duckdb = pytest.importorskip("duckdb")
    return duckdb.sql(f"SELECT * FROM '{path}'").to_arrow_table().to_pydict()


def read_as_a_spreadsheet_does(path):
    """By the csv module, with what looks like a number as one."""
    if path.suffix != ".csv":
        pytest.skip("spreadsheets read no Parquet")

    def value(cell):
        try:
            return int(cell)
        except ValueError:
            pass
        try:
            return float(cell)
        except ValueError:
            return cell or None

    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert not any(
        cell[:1] in "=+-@" and not cell[1:2].isdigit() for row in rows for cell in row.values() if cell
    )
    return {name: [value(row[name]) for row in rows] for name in rows[0]}


READERS = [read_by_pandas, read_by_pyarrow, read_by_polars, read_by_duckdb, read_as_a_spreadsheet_does]


@pytest.mark.parametrize("reader", READERS[:-1], ids=lambda reader: reader.__name__)
def test_a_column_that_is_missing_for_long_is_one_of_numbers(tmp_path, reader):
    """Programs take a column's type from the first rows, which are those of the clean images."""
    count = 300
    rows = as_rows([np.zeros(count)] * len(COLUMNS))
    views = {parse(view): rows.copy() for view in ("x", "Adv_1", "PGD_1")}
    views[parse("Adv_1")]["rising"], views[parse("PGD_1")]["rising"] = np.nan, 1
    texts = tuple(map(str, range(count)))
    write(Records(texts, texts, np.zeros(count, np.int64), views), tmp_path / "r.csv")
    found = [value for value in reader(tmp_path / "r.csv")["rising"] if value is not None and value == value]
    assert found == [0.0] * count + [1.0] * count


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_programs_read_equal_values_by_their_defaults(tmp_path, reader, suffix):
    path = tmp_path / f"r{suffix}"
    write(odd(), path)
    expected = odd().to_pandas().to_dict("list")
    assert len(expected["name"]) == 3 * len(NAMES) - 1
    if suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            cells = list(csv.DictReader(file))
        for name in ("id", "name"):
            expected[name] = [row[name] for row in cells]
            assert all(cell.startswith("img:") and cell.isprintable() for cell in expected[name])
    found = reader(path)
    for name, wanted in expected.items():
        values = [None if value is None or value != value else value for value in found[name]]
        assert values == [None if value != value else value for value in wanted], name
        assert {*map(type, values)} - {type(None)} == {*map(type, wanted)}, name


@given(st.lists(st.text(st.characters(), max_size=30), min_size=3, max_size=3))
def test_text_and_back_is_the_same_whatever_files_are_called(names):
    text = dumps(records(names=names), {"note": "ä"})
    back, header = loads(text)
    same(back, records(names=names))
    assert header["note"] == "ä"
    assert dumps(back, {"note": "ä"}) == text
    assert len(text.splitlines()) == len([*csv.reader(io.StringIO(text))]) == 6


@given(st.text(max_size=200))
def test_any_text_is_records_or_an_error(text):
    first = dumps(records()).splitlines()[0]
    for whole in (text, f"{first}\n{text}", f"# robustcheck records 1\n{text}"):
        with pytest.raises(RobustcheckError):
            loads(whole)


@settings(deadline=None)  # a first import may take its time
@given(st.data())
def test_damaged_text_is_an_error_or_reads_as_something_whole(data):
    text = dumps(records())
    at = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(at, min(len(text), at + 9)))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[cut:]
    try:
        back, _ = loads(damaged)
    except RobustcheckError:
        return
    assert len(back.names) == len(back.labels) == len(back.columns[parse("x")]["p_top"])


def test_an_earlier_version_is_refused_by_name():
    with pytest.raises(RobustcheckError, match=r"earlier version of robustcheck.*save the baseline anew"):
        loads("# robustcheck records 1\n# {}\nid,name\n")
    with pytest.raises(RobustcheckError, match=r"of version 9, and this robustcheck reads versions 2 and 3"):
        loads(dumps(records()).replace('""format"": 3', '""format"": 9'))
    with pytest.raises(RobustcheckError, match=r"line 1 is not that of version 2, which line 2 names"):
        loads(dumps(records()).replace('""format"": 3', '""format"": 2'))


def test_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "records.csv"
    save(records(), path)
    same(load(path)[0], records())
    before = path.read_text()
    with pytest.raises(TypeError):
        save(records(), path, {"no JSON": object()})
    assert path.read_text() == before
    assert [file.name for file in path.parent.iterdir()] == ["records.csv"]


def test_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(RobustcheckError, match=r"nothing\.csv can't be read"):
        load(tmp_path / "nothing.csv")


@pytest.mark.parametrize("name", ["correct", "kept", "rising"])
def test_what_is_either_so_or_not_is_never_half_so(name):
    first, second, *others = csv.reader(io.StringIO(dumps(records())))
    second[first.index(name)] = "0.5"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([first, second, *others])
    with pytest.raises(RobustcheckError, match=f"row 1: '{name}' must be 0 or 1, got 0.5"):
        loads(text.getvalue())


def test_a_byte_order_mark_is_no_part_of_the_records(tmp_path):
    (tmp_path / "bom.csv").write_text(dumps(records()), "utf-8-sig")
    same(load(tmp_path / "bom.csv")[0], records())


@pytest.mark.parametrize(
    ("of", "says", "cure"),
    [
        (lambda text: gzip.compress(text.encode()), "compressed by gzip", "unpack the file first"),
        (lambda text: text.encode("utf-16"), "text in UTF-16", "save it as UTF-8"),
        (lambda text: b"PAR1\x15\x80" + text.encode(), "a Parquet file", r"end in \.parquet"),
        (lambda text: b"PK\x03\x04\xff" + text.encode(), "a ZIP archive", "unpack it first"),
        (lambda text: text.encode() + b"\xe9\n", "not text in UTF-8", "take the file as it was saved"),
    ],
)
def test_a_file_of_another_form_is_refused_with_what_to_do(tmp_path, of, says, cure):
    (tmp_path / "main.csv").write_bytes(of(dumps(records())))
    with pytest.raises(RobustcheckError, match=rf"main\.csv can't be read: {says} .*; .*{cure}"):
        load(tmp_path / "main.csv")


def test_a_csv_file_under_the_name_of_a_parquet_file_is_told(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "main.parquet").write_text(dumps(records()))
    with pytest.raises(
        RobustcheckError, match=r"main\.parquet can't be read as Parquet: .*CSV file end in \.csv"
    ):
        read(tmp_path / "main.parquet")


def test_an_early_stop_leaves_images_without_rows(tmp_path):
    cut = records(ids=("ff", "ee", ""))
    for rows in cut.columns.values():
        rows["prediction"][2] = -1
        for name in COLUMNS[1:]:
            rows[name][2] = np.nan
    save(cut, tmp_path / "r.csv")
    back = load(tmp_path / "r.csv")[0]
    assert len(back) == 3
    assert back.names == ("a.png", "b.png", "")
    assert back.is_labelled
    assert back.mean("accuracy", "x") == 1.0
