"""Reports name the attacks that were still coming closer on many images when they stopped, and no others."""

import json

import numpy as np
import pytest

from robustcheck.notation import parse
from robustcheck.report.formats import github, html, terminal
from robustcheck.report.formats.json import render as as_json
from robustcheck.report.summary import summary_of

HEADING = "attacks that stopped while their loss was still rising"


def summary(made, rising, count=200, **unknown):
    """A run of some views, each with so many images on which its attack was still rising; None: not known."""
    records = made.records(count, ("x", *rising))
    for view, rows in records.columns.items():
        number = rising.get(str(view), 0)
        rows["rising"] = np.nan if number is None else np.arange(count) < number
    for view, images in unknown.items():
        records.columns[parse(view)]["rising"][images] = np.nan
    return summary_of(made.run(records, claims=()))


def lines_of(found, **options):
    lines = terminal.render(found, **options)
    assert max(map(len, lines)) <= 80
    if HEADING not in lines:
        return []
    at = lines.index(HEADING)
    return lines[at + 1 : lines.index("", at)] if "" in lines[at:] else lines[at + 1 :]


@pytest.mark.parametrize(
    ("view", "line"),
    [
        ("PGD_8", "PGD_8: 14 of 200 images; try APGD, or a larger step"),
        ("PGD_8[step=1]", "PGD_8[step=1]: 14 of 200 images; try APGD, or more steps"),
        ("APGD_8[steps=5]", "APGD_8[steps=5]: 14 of 200 images; try steps=20"),
        ("APGD_8", "APGD_8: 14 of 200 images; try steps=200"),
        ("Square_8", "Square_8: 14 of 200 images; try queries=4000"),
        ("JPG(PGD_8)", "PGD_8: 14 of 200 images; try APGD, or a larger step"),
        ("Worst(APGD_8; PGD_8)", "Worst(APGD_8; PGD_8): 14 of 200 images; try APGD, or more steps"),
        ("PGD_8[draws=4]", "PGD_8[draws=4]: 14 of 200 images; try APGD, or a larger step"),
    ],
)
def test_an_attack_is_named_with_what_to_do(made, view, line):
    found = summary(made, {view: 14})
    assert lines_of(found) == [f"  {line}"]
    assert lines_of(found, verbosity=-1) == []
    page = html.render(found)
    assert f"{HEADING.capitalize()}:" in page
    assert f"<li>{line}</li>" in page
    assert f"{HEADING.capitalize()}:\n\n- {github.prose(line)}\n" in github.render(found)
    plain = json.loads(as_json(found))["studies"][0]
    (attack,) = plain["unfinished"]
    assert f"{attack['attack']}: {attack['count']} of {attack['n']} images; {attack['advice']}" == line
    assert [row["rising"] for row in plain["rows"]] == [None, 14]


@pytest.mark.parametrize("rising", [{"PGD_8": 9}, {"PGD_8": 0}, {"PGD_8": None}, {"Adv_8": None, "JPG": 0}])
def test_nothing_is_said_of_few_images_or_where_it_is_not_known(made, rising):
    found = summary(made, rising)
    assert lines_of(found) == []
    assert HEADING.capitalize() not in html.render(found) + github.render(found)
    assert json.loads(as_json(found))["studies"][0]["unfinished"] == []


def test_five_per_cent_are_enough(made):
    assert lines_of(summary(made, {"PGD_8": 10})) == ["  PGD_8: 10 of 200 images; try APGD, or a larger step"]


def test_each_attack_has_one_line(made):
    views = {"PGD_8": 30, "JPG(PGD_8)": 30, "Noise_2(PGD_8)": 30, "APGD_8": 2, "JPG(APGD_8)": 2}
    found = lines_of(summary(made, {**views, "Worst(APGD_8; PGD_8)": 20, "APGD_8[steps=5]": 20}))
    assert [line.split(":")[0].strip() for line in found] == ["APGD_8[steps=5]", "PGD_8"]


def test_images_of_which_nothing_is_known_do_not_count(made):
    found = summary(made, {"PGD_8": 10}, PGD_8=slice(20, None))
    assert lines_of(found) == ["  PGD_8: 10 of 20 images; try APGD, or a larger step"]


def test_a_long_view_is_wrapped(made):
    view = "PGD_8[label=true,loss=log_odds,momentum=0.25,restarts=100,step=0.125,steps=1000]"
    assert len(lines_of(summary(made, {view: 100}))) == 2
