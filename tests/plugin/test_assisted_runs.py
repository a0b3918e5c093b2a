"""`--robustcheck-stop-early` with `--robustcheck-compare`: the baseline's records help to decide."""

import json
import re
from fnmatch import fnmatch

import numpy as np
import pytest

from robustcheck.notation import parse
from robustcheck.records import Records
from robustcheck.records.csv import load, save
from robustcheck.records.rows import empty_rows

TESTS = """
def test_absolute(robustness):
    assert robustness["x"].accuracy >= 0.84

def test_difference(robustness):
    assert robustness["Noise_4"].accuracy >= robustness["x"].accuracy - 0.1

def test_recovery(robustness):
    assert robustness.recovery("JPG_90(Adv_20)") <= 0.9

def test_regression(robustness):
    assert robustness.no_regression("x", tolerance=0.03)
"""
COUNT = 1_200
EARLY = ("--robustcheck-stop-early", "--robustcheck-store=off")


@pytest.fixture
def large(repository):
    """The toy repository with 1,200 images, 90 % of them right, each tenth wrong."""
    conftest = repository.path / "conftest.py"
    text = conftest.read_text().replace("(40, 3, 16, 16)", f"({COUNT}, 3, 16, 16)")
    text = text.replace("range(40)", f"range({COUNT})")
    conftest.write_text(
        text.replace("labels[:4] = (labels[:4] + 1) % 4", "labels[::10] = (labels[::10] + 1) % 4")
    )
    repository.makepyfile(TESTS)
    return repository


@pytest.fixture(scope="module")
def kept():
    """The baseline's text, once it was made."""
    return {}


@pytest.fixture
def saved(large, kept):
    """The same with a baseline of all images, main.csv."""
    if kept:
        (large.path / "main.csv").write_text(kept["main.csv"])
        return large
    result = large.runpytest(
        "--robustcheck-records=main.csv", "--robustcheck-store=off", "-k", "not regression"
    )
    result.assert_outcomes(passed=3)
    kept["main.csv"] = (large.path / "main.csv").read_text()
    return large


def made(right):
    """Return records of the clean images, right on some of them: bool (COUNT,)."""
    rows = empty_rows(COUNT)
    rows["prediction"], rows["correct"], rows["kept"], rows["p_top"] = np.where(right, 0, 1), right, 1, 0.5
    rows["linf"] = rows["l2"] = 0
    names = tuple(f"toy-{index:02}.png" for index in range(COUNT))
    return Records(names, names, np.zeros(COUNT, np.int64), {parse("x"): rows})


def assisted(*options, compare="main.csv"):
    return (*EARLY, f"--robustcheck-compare={compare}", *options)


def seen(result):
    """Return how many images each claim took, by its text."""
    text = "\n".join(result.outlines)
    found = re.findall(r"^  HOLDS +(.*)\n.*\n?.*?n = (\d+) of", text, re.MULTILINE)
    return {claim: int(count) for claim, count in found}


def draw_of(result):
    (draw,) = set(re.findall(r"--robustcheck-draw=(\S+) replays", "\n".join(result.outlines)))
    return draw


def test_every_kind_of_claim_is_assisted_and_says_so(saved):
    result = saved.runpytest(*assisted("--robustcheck-json=run.json", "--robustcheck-report=run.html"))
    result.assert_outcomes(passed=4)
    run = json.loads((saved.path / "run.json").read_text())
    for claim in run["claims"]:
        assert "assisted by main (1,200 images), churn 0 % so far" in claim["notes"]
        assert claim["low"] <= claim["estimate"] <= claim["high"]
    by_text = {claim["text"]: claim for claim in run["claims"]}
    assert by_text["accuracy(x) >= 0.84"]["estimate"] == pytest.approx(0.9)
    assert by_text["accuracy(x) - accuracy(x) of the baseline >= -0.03"]["estimate"] == pytest.approx(0)
    plain = saved.runpytest(*assisted("--robustcheck-assist=off", "--robustcheck-json=off.json"))
    plain.assert_outcomes(passed=4)
    alone = {each["text"]: each for each in json.loads((saved.path / "off.json").read_text())["claims"]}
    assert all("assisted by" not in str(claim) for claim in alone.values())
    assert by_text["accuracy(x) >= 0.84"]["seen"] < alone["accuracy(x) >= 0.84"]["seen"]
    page = (saved.path / "run.html").read_text()
    assert "assisted by main (1,200 images)" in page
    assert draw_of(result) in page
    assert draw_of(result) in run["session"]["order of images"]


def test_a_failure_says_that_it_is_assisted(saved):
    saved.makepyfile("def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.95")
    result = saved.runpytest(*assisted("--robustcheck-artifacts=worst"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *REFUTED: accuracy(x) >= 0.95",
            "E *assisted 90.0 % (*; of the sample *",
            "E *assisted by main (1,200 images)*",
        ]
    )
    (command,) = {
        path.read_text()
        for path in (saved.path / "worst").rglob("*")
        if path.suffix in {".txt", ".sh", ".md"}
    } or {"\n".join(result.outlines)}
    assert f"--robustcheck-draw={draw_of(result)}" in command


def test_a_fresh_order_each_time_and_the_same_again_on_demand(saved):
    first, second = (saved.runpytest(*assisted("--robustcheck-json=run.json")) for _ in range(2))
    assert draw_of(first) != draw_of(second)
    orders = []
    for draw in ("a", "a", "b"):
        saved.runpytest(*assisted(f"--robustcheck-draw={draw}", "--robustcheck-records=seen.csv"))
        orders.append(load(saved.path / "seen.csv")[0].drawn.tolist())
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.slow
def test_workers_of_xdist_draw_the_same_order(saved):
    pytest.importorskip("xdist")
    result = saved.runpytest(*assisted("-n", "2", "--robustcheck-json=run.json"))
    result.assert_outcomes(passed=4)
    run = json.loads((saved.path / "run.json").read_text())
    assert draw_of(result) in run["session"]["order of images"]
    again = saved.runpytest(*assisted(f"--robustcheck-draw={draw_of(result)}"))
    assert seen(again) == seen(result)


def test_a_baseline_that_knows_the_order_by_seed_gains_nothing(large):
    """At a true 40 %, old values of 0 for the images that the seed draws first, and of 1 for the others."""
    conftest = large.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace(
            "labels[::10] = (labels[::10] + 1) % 4", "labels[:720] = (labels[:720] + 1) % 4"
        )
    )
    large.makepyfile("def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.5")
    right = np.ones(COUNT, bool)
    right[np.random.default_rng(0).permutation(COUNT)[:600]] = False
    records = made(right)
    save(records, large.path / "main.csv", {})
    for draw in "abcd":
        result = large.runpytest(*assisted(f"--robustcheck-draw={draw}"))
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["E *REFUTED: accuracy(x) >= 0.5"])


def part(saved, share, *, view=None, labels=None):
    """Rewrite the baseline: of the first images only, without some records of a view, or with other labels."""
    records, header = load(saved.path / "main.csv")
    count = int(share * COUNT)
    columns = {view: rows[:count].copy() for view, rows in records.columns.items()}
    if view is not None:
        columns[parse(view)][:100] = empty_rows(100)
    kept = Records(
        records.ids[:count],
        records.names[:count],
        records.labels[:count] if labels is None else labels[:count],
        columns,
        records.provenance,
    )
    save(kept, saved.path / "main.csv", {key: text for key, text in header.items() if key == "saved"})


@pytest.mark.parametrize(
    ("share", "view", "line"),
    [
        (0.6, None, "assisted by main (720 images), which has 60 % of the images, churn 0 % so far"),
        (0.5, None, "which has 50 % of the images, churn 0 %"),
        (
            0.4,
            None,
            "the baseline main.csv does not assist: it has 480 of the 1200 images, by name, and half*",
        ),
        (
            1,
            "x",
            "the baseline main.csv does not assist: it was stopped early (x was evaluated on 1100 of 1200*",
        ),
    ],
)
def test_which_baselines_assist(saved, share, view, line):
    part(saved, share, view=view)
    saved.makepyfile("def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.8")
    result = saved.runpytest(*assisted())
    result.assert_outcomes(passed=1)
    text = " ".join(" ".join(result.outlines).split())
    assert fnmatch(text, f"*{line}*"), text


def test_correct_goes_by_the_labels_of_today(saved):
    part(saved, 1, labels=np.zeros(COUNT, np.int64))
    result = saved.runpytest(*assisted("-k", "absolute"))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*assisted by main (1,200 images), churn 0 % so far*"])


def test_a_claim_of_a_view_that_the_baseline_lacks_is_decided_without_it(saved):
    saved.makepyfile(
        """
        def test_old(robustness):
            assert robustness["x"].accuracy >= 0.84

        def test_new(robustness):
            assert robustness["Noise_8"].accuracy >= 0.5
        """
    )
    result = saved.runpytest(*assisted("--robustcheck-json=run.json"))
    result.assert_outcomes(passed=2)
    numbers = {
        claim["text"]: str(claim) for claim in json.loads((saved.path / "run.json").read_text())["claims"]
    }
    assert "assisted by" in numbers["accuracy(x) >= 0.84"]
    assert "assisted by" not in numbers["accuracy(Noise_8) >= 0.5"]


def test_another_model_may_be_assisted_but_not_another_codec_gated(saved):
    """To assist, whatever changed is allowed; a regression is gated on as before."""
    records, header = load(saved.path / "main.csv")
    save(records, saved.path / "main.csv", {key: text for key, text in header.items() if key == "saved"})
    text = (saved.path / "main.csv").read_text()
    seed = re.search(r'""seed"": ""[^"]*""', text)[0]
    (saved.path / "main.csv").write_text(text.replace(seed, '""seed"": ""another""'))
    result = saved.runpytest(*assisted("-k", "absolute or regression"))
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["E *differs in seed: 'another' then*", "*assisted by main*churn 0 % so far*"]
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--robustcheck-assist=on", "*--robustcheck-assist: unknown value 'on'*"),
        ("--robustcheck-draw=a b", "*--robustcheck-draw: must be at most 64 letters*"),
        ("--robustcheck-min-images=-1", "*--robustcheck-min-images: must be an integer >= 0*"),
    ],
)
def test_options_are_checked(large, option, message):
    result = large.runpytest(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_a_least_number_of_images(saved):
    for options in (assisted("--robustcheck-min-images=300"), (*EARLY, "--robustcheck-min-images=300")):
        result = saved.runpytest(*options, "-k", "absolute")
        result.assert_outcomes(passed=1)
        (count,) = re.findall(r"n = (\d+) of 1200", "\n".join(result.outlines))[:1]
        assert 300 <= int(count) <= 1_200
