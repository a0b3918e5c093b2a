"""JSON by its schema, paths of the machine, and records that come back."""

import json
import xml.etree.ElementTree as ET
from dataclasses import fields, is_dataclass
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from robustcheck import __main__ as command_line
from robustcheck.errors import RobustcheckError
from robustcheck.records import COLUMNS, MEASURES, empty_rows
from robustcheck.records.tables import read, write
from robustcheck.report import distributions, forecast, mutation, panel, sweeps
from robustcheck.report import run as run_module
from robustcheck.report import summary as facts
from robustcheck.report.formats import records
from robustcheck.report.formats.json import FORMAT, SCHEMA, SCHEMA_VERSION, render
from robustcheck.report.formats.junit import readable
from robustcheck.report.loader import load_run
from robustcheck.report.redaction import hider, without_paths
from robustcheck.report.run import FinishedRun, ReportedClaim, TestError
from robustcheck.report.study import Study
from robustcheck.report.summary import summary_of

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))


def test_json_is_by_its_schema_and_holds_what_the_page_does(made):
    many = FinishedRun((Study(made.records(700, ("x", "Adv_1", "Adv_5", "JPG(Adv_1)")), None),))
    unlabelled = made.run(made.records(labelled=False), troubles=(TestError("a", "b"),))
    for run in (made.run(), many, unlabelled, FinishedRun()):
        VALIDATOR.validate(json.loads(render(summary_of(run))))
    plain = json.loads(render(summary_of(made.run())))
    assert plain["format"] == FORMAT
    assert [claim["state"] for claim in plain["claims"]] == ["holds", "refuted", "not shown"]
    (study,) = plain["studies"]
    assert [row["view"] for row in study["rows"]] == ["x", "Adv_1", "JPG(Adv_1)", "JPG_noise(Adv_1)"]
    assert study["panels"][0]["pictures"][0]["top"][0] == {"name": "tench", "index": 0, "probability": 0.9}
    assert "data" not in study["panels"][0]["pictures"][0]


def test_a_claim_has_an_id_a_role_and_a_state(made):
    expected = made.claim("refuted", id="test_it.py::test_it#2", expected_to_fail=True)
    held = made.claim(id="robustcheck.toml::kept", role="compared", expected_to_fail=True)
    plain = json.loads(render(summary_of(made.run(claims=(expected, held)))))
    VALIDATOR.validate(plain)
    assert plain["schema"] == SCHEMA_VERSION
    shown = [[claim[name] for name in ("id", "role", "state", "verdict")] for claim in plain["claims"]]
    assert shown == [
        ["test_it.py::test_it#2", "claim", "expected to fail", "refuted"],
        ["robustcheck.toml::kept", "compared", "holds", "holds"],
    ]


def test_fields_are_added_with_a_version_that_the_docs_describe():
    """Where this fails, fields were added: raise SCHEMA_VERSION, and say in docs/reports.md what they are."""
    schema = json.loads(SCHEMA.read_text())
    fields = sum(len(kind["properties"]) for kind in (schema, *schema["$defs"].values()))
    assert (SCHEMA_VERSION, fields) == (3, 181)
    docs = (Path(__file__).parents[3] / "docs" / "reports.md").read_text()
    assert f"(now {SCHEMA_VERSION}) counts the additions" in docs
    assert f"\n| {SCHEMA_VERSION} |" in docs


def test_json_has_no_number_that_json_lacks(made):
    text = render(summary_of(made.run(claims=(made.claim(low=float("-inf"), estimate=float("nan")),))))
    claim = json.loads(text, parse_constant=pytest.fail)["claims"][0]
    assert (claim["low"], claim["estimate"], claim["high"]) == (None, None, 0.6)


def test_schema_refuses_what_is_missing_or_of_another_kind(run):
    plain = json.loads(render(summary_of(run)))
    del plain["claims"][0]["estimate"]
    assert not VALIDATOR.is_valid(plain)
    plain["claims"][0]["estimate"] = "much"
    assert not VALIDATOR.is_valid(plain)


def test_schema_names_every_field():
    schema = json.loads(SCHEMA.read_text())["$defs"]
    modules = (facts, distributions, sweeps, panel, forecast, mutation, run_module)
    values = {
        name: value for module in modules for name, value in vars(module).items() if is_dataclass(value)
    }
    for name, described in schema.items():
        added = {"ReportedClaim": {"verdict"}, "Row": set(MEASURES)}.get(name, set())
        expected = {field.name for field in fields(values[name])} - {"brief", "data", "means"} | added
        assert {*described["properties"]} == expected, name


@pytest.mark.parametrize("name", ["run.csv", "run.parquet"])
def test_records_come_back_as_they_were_with_the_run(made, tmp_path, name):
    records = made.records(names=["ünï|code.png", "same.png", "same.png", *"abcde"])
    records.columns[records.views[1]][[0, 3]] = empty_rows(2)
    write(records, tmp_path / name, {"classes": 5})
    again, header = read(tmp_path / name)
    assert header["classes"] == 5
    assert (again.ids, again.names, again.provenance) == (records.ids, records.names, records.provenance)
    assert again.labels.tolist() == records.labels.tolist()
    for view, own in records.columns.items():
        for column in COLUMNS:
            np.testing.assert_allclose(
                again.columns[view][column], own[column], rtol=1e-8, err_msg=f"{column} of {view}"
            )


def test_parquet_is_read_by_pandas_as_a_row_per_image_and_view(made, tmp_path):
    import pandas as pd

    records = made.records()
    write(records, tmp_path / "run.parquet")
    table = pd.read_parquet(tmp_path / "run.parquet")
    assert len(table) == 8 * 4
    means = table.groupby("view", observed=True)["correct"].mean()
    assert means["JPG(Adv_1)"] == records.mean("accuracy", "JPG(Adv_1)")


@pytest.mark.parametrize("name", ["run.csv", "run.parquet"])
def test_damaged_records_are_told(tmp_path, name, capsys):
    (tmp_path / name).write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(RobustcheckError, match=name):
        read(tmp_path / name)
    assert command_line.main(["report", str(tmp_path / name)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_paths_of_the_machine_are_in_no_report(made, tmp_path):
    outside = "/home/someone/my secret/val"
    records = made.records(
        images=f"{outside}, 8 images, fingerprint 0123",
        names=[f"{outside}/a.png", *"bcdefgh"],
        model="/opt/nets/a.pt",
    )
    claim = made.claim(notes=(f"see /etc/secret/b.txt, {tmp_path}/own/c.txt",))
    run = made.run(records, claims=(claim,), session={"command line": "pytest --x=/srv/data/d.csv ~/e/f"})
    shown = render(summary_of(without_paths(run, tmp_path)))
    for part in ("someone", "secret/", "/opt", "/etc", "/srv", str(tmp_path), "~/e"):
        assert part not in shown
    for part in ("/val", "a.pt", "b.txt", "own/c.txt", "d.csv"):
        assert part in shown


@pytest.mark.parametrize(
    "text",
    ["JPG(Adv_1) / 2", "https://example.invalid/a/b", "image 3/4 of a/b/c", "</b></a> <br/>", "1.5 images/s"],
)
def test_what_is_no_path_stays(text):
    assert hider(Path("/root/x"))(text) == text


def test_report_and_compare_from_saved_records(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    old, new = made.records(seed=1), made.records()
    new.labels[:] = old.labels
    write(old, Path("a.parquet"))
    write(new, Path("b.csv"))
    assert command_line.main(["report", "b.csv"]) == 0
    text = Path("report.html").read_text()
    assert "toy on made up, 8 images" in text
    assert "records hold no pixels" in text
    assert command_line.main(["compare", "a.parquet", "b.csv", "--out", "c.json"]) == 0
    shown = capsys.readouterr().out
    assert "against the baseline a.parquet" in shown
    assert "McNemar p" in shown
    against = json.loads(Path("c.json").read_text())["studies"][0]["against"]
    assert against["baseline"] == "a.parquet"
    assert len(against["changes"]) == 4


def test_claims_and_checks_are_saved_with_the_records(made, tmp_path):
    run = made.run()
    assert records.write(run, summary_of(run), tmp_path / "run.parquet") == [tmp_path / "run.parquet"]
    again = load_run([tmp_path / "run.parquet"])
    assert (again.claims, again.findings, again.checks, again.session) == (
        run.claims,
        run.findings,
        run.checks,
        run.session,
    )


@pytest.mark.parametrize(
    "arguments", [["reprot"], ["report", "nowhere.csv"], ["report", "a.csv", "--out", "a.doc"]]
)
def test_what_the_command_line_cannot_do_is_told(arguments, made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(made.records(), Path("a.csv"))
    try:
        status = command_line.main(arguments)
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert "Traceback" not in capsys.readouterr().err


def test_junit_properties_number_the_claims_of_a_test(made):
    properties = [(ReportedClaim.PROPERTY, made.claim(state).to_json()) for state in ("holds", "refuted")]
    told = dict(readable([("own", 1), *properties]))
    assert told["own"] == 1
    assert (told["robustcheck.1.verdict"], told["robustcheck.2.verdict"]) == ("holds", "refuted")
    assert (told["robustcheck.1.n"], told["robustcheck.1.N"], told["robustcheck.1.alpha"]) == (
        "300",
        "1000",
        "0.05",
    )
    assert (told["robustcheck.1.low"], told["robustcheck.1.attack"]) == ("0.4", "blind")
    assert ET.tostring(ET.Element("p", {name: str(value) for name, value in told.items()}))
