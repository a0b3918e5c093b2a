"""The page: what is on it, that it is well formed, that any run renders, and that nothing from outside is markup."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustcheck.records import empty_rows
from robustcheck.records.baseline import Baseline
from robustcheck.report.formats.html import render
from robustcheck.report.pictures import amplified
from robustcheck.report.run import FinishedRun, ReportedClaim, TestError
from robustcheck.report.study import Study
from robustcheck.report.summary import PAPER, summary_of
from robustcheck.text import printable

VOID = {"meta", "link", "input", "img", "br"}


class Page(HTMLParser):
    """Which elements there are, and the text; it fails where they are not nested."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def read(run):
    return Page(render(summary_of(run)))


def test_what_is_on_it_from_top_to_bottom(run):
    text = read(run).text
    assert text.count("toy on made up, 8 images") == 2  # the title, and the heading
    text = text[text.index("Verdicts at a glance") :]
    order = [
        "Verdicts at a glance",
        "accuracy(JPG(Adv_1)) >= 0.45",
        "1 of 3 claims hold",
    ]
    order += [
        "40.0 % to 60.0 %",
        "blind",
        "adaptive",
        "Findings of arXiv",
        "The table",
        "How sure the model is",
    ]
    order += [
        "Image by image",
        "Given back by JPEG",
        "label: tench",
        "More hurt less.",
        "Provenance",
        "command line",
    ]
    places = [text.find(words) for words in order]
    assert -1 not in places, dict(zip(order, places, strict=True))
    assert places == sorted(places)


def test_refuted_claims_lead_by_their_names(made):
    held = [made.claim(name=f"held-{number}") for number in range(3)]
    failed = [
        made.claim("not shown", name="not-shown"),
        made.claim("refuted", name="our-promise", failed=True),
    ]
    text = read(made.run(claims=(*held, *failed))).text
    assert text.index("Of 5 claims, 1 is refuted and 1 is not shown") < text.index("Verdicts at a glance")
    places = [text.index(name) for name in ("our-promise", "not-shown", "3 of 5", "held-0", "held-1")]
    assert places == sorted(places)
    for name, count in (("our-promise", 2), ("not-shown", 2), ("held-0", 1)):
        assert text.count(name) == count


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (("holds",), "The claim holds"),
        (("holds", "holds"), "2 of 2 claims hold"),
        (("refuted", "refuted"), "Of 2 claims, 2 are refuted"),
        (("not shown",), "Of 1 claim, 1 is not shown"),
        (("expected to fail",), "The claim was expected to fail, and did"),
        (("holds", "expected to fail"), "1 of 2 claims hold, 1 was expected to fail, and did"),
        (("holds", "refuted", "expected to fail"), "Of 3 claims, 1 is refuted"),
    ],
)
def test_the_headline_says_what_became_of_the_claims(made, states, words):
    claims = [
        made.claim("refuted", expected_to_fail=True) if state == "expected to fail" else made.claim(state)
        for state in states
    ]
    page = render(summary_of(made.run(claims=tuple(claims))))
    assert f"{words} 2026-11-24" in Page(page).text
    tone = next(
        (tone for state, tone in (("refuted", "refuted"), ("not shown", "open")) if state in states), "holds"
    )
    assert f'class="headline {tone}"' in page


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (("holds",), "The claim holds; 3 tests failed for another reason"),
        ((), "No claim was decided: 3 tests failed"),
    ],
)
def test_a_run_with_tests_that_decided_nothing_is_not_headed_as_green(made, states, words):
    """Each error is there once, however many tests it ended."""
    ends = {"a": "no weights", "b": "no weights", "c": "no images"}
    troubles = tuple(TestError(f"test_{name}", text) for name, text in ends.items())
    page = render(summary_of(made.run(claims=tuple(map(made.claim, states)), troubles=troubles)))
    assert re.search(f'<p class="headline refuted">.*{words}', page)
    assert page.count("no weights") == 1
    text = Page(page).text
    assert "Nothing was decided by test_a, test_bno weights" in text
    assert "No test of this run made a claim" not in text


def test_a_run_without_numbers_is_not_called_sound(made):
    run = replace(made.run(checks=()), studies=())
    text = read(run).text
    assert "There are no numbers to judge." in text
    assert "Nothing in the numbers speaks against it" not in text
    assert "Nothing in the numbers speaks against it" in read(made.run(made.records(), checks=())).text


def test_what_is_known_of_a_blind_attack_stands_there_once(made):
    note = "JPG(Adv_1): attack blind to JPG; an adaptive one may do better"
    claims = [made.claim(notes=("its own", note), blind_notes=(note,)) for _ in range(3)]
    text = read(made.run(claims=tuple(claims))).text
    assert (text.count(note), text.count("its own")) == (1, 3)


def test_tables_have_captions_and_scopes_and_pictures_a_text(run):
    parsed = read(run)
    tables = [at for at, (tag, _) in enumerate(parsed.elements) if tag == "table"]
    assert len(tables) >= 4
    assert all(parsed.elements[at + 1][0] == "caption" for at in tables)
    assert all("scope" in attrs for attrs in parsed.all("th"))
    assert all(attrs["alt"].strip() for attrs in parsed.all("img"))
    named = {attrs["id"] for _, attrs in parsed.elements if "id" in attrs}
    plots = [attrs for attrs in parsed.all("svg") if attrs.get("role") == "img"]
    assert plots
    assert all(attrs["aria-labelledby"] in named for attrs in plots)
    assert all("aria-hidden" in attrs for attrs in parsed.all("svg") if attrs.get("role") != "img")
    assert all(attrs["href"].removeprefix("#") in named for attrs in parsed.all("a"))
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_a_row_for_each_view_with_the_papers_numbers_beside(run):
    text = render(summary_of(run))
    table = text[text.index('class="sortable views"') :].split("</table>")[0]
    assert table.count("<tr>") == 1 + 4
    for top1, p_top in (PAPER[view] for view in ("x", "Adv_1", "JPG(Adv_1)", "JPG_noise(Adv_1)")):
        assert f"{100 * top1:.0f}\u00a0%</td>" in table
        assert f"{p_top:.2f}</td>" in table


def test_nothing_is_fetched_from_anywhere(run):
    text = render(summary_of(run))
    assert "http://" not in text
    assert "https://" not in text
    assert all(attrs["src"].startswith("data:image/webp;base64,") for attrs in Page(text).all("img"))
    assert "default-src 'none'" in text


def run_of(made, text):
    """A run in which everything that comes from outside is one text."""
    records = made.records(names=[text, *(f"{at}.png" for at in range(7))], model=text, device=text)
    claim = made.claim(text=text, notes=(text,), file=text)
    study = Study(records, 5, (made.panel(text, text, text),))
    session = {"command line": text}
    return FinishedRun((study,), (claim,), troubles=(TestError(text, text),), session=session)


def test_what_is_hostile_is_shown_as_text(made, hostile_texts):
    calm = read(run_of(made, "calm"))
    for hostile in hostile_texts:
        assert_shown_as_text(made, hostile, calm)


def assert_shown_as_text(made, hostile, calm):
    text = render(summary_of(run_of(made, hostile)))
    shown = Page(text)
    elements, expected = (
        [(tag, *attrs) for tag, attrs in parsed.elements if tag != "p"] for parsed in (shown, calm)
    )  # a trouble is told in as many paragraphs as it has lines
    assert elements == expected
    assert re.sub(r"\s+", " ", printable(hostile)) in shown.text
    assert not [char for char in text if not char.isprintable() and char not in "\n\u00a0\u200d"]
    assert text.encode("utf-8")


def test_against_a_baseline_it_says_what_changed(made):
    baseline = Baseline(Path("v1.csv"), made.records(seed=1))
    now = made.records()
    now.labels[:] = baseline.records.labels
    text = read(made.run(now, baseline=baseline)).text
    assert "What changed since the baseline" in text
    assert "McNemar p" in text
    assert "image-" in text[text.index("by name") :]


def test_a_baseline_with_more_images_says_how_many_are_missing_here(made):
    run = made.run(baseline=Baseline(Path("v1.csv"), made.records(9)))
    assert "1 of the baseline's 9 images missing here" in read(run).text


def test_empty_run_renders():
    assert "Nothing was evaluated" in read(FinishedRun()).text


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.sampled_from([1, 2, 20, 700]),
    views=st.sets(
        st.sampled_from(
            ["Adv_1", "Adv_5", "JPG(Adv_1)", "JPG_50(Adv_1)", "JPG", "Noise_3", "JPG(Adv_1[through=JPG])"]
        )
    ),
    labelled=st.booleans(),
    wrong=st.booleans(),
    classes=st.sampled_from([None, 2, 1000]),
)
def test_any_run_renders(made, count, views, labelled, wrong, classes):
    records = made.records(count, ("x", *sorted(views)), labelled=labelled, wrong=wrong)
    parsed = read(FinishedRun((Study(records, classes),)))
    assert f"{count} images" in parsed.text
    assert ("Kept" in parsed.text) == (not labelled)


def test_stopped_early_says_so(made):
    records = made.records()
    records.columns[records.views[1]][4:] = empty_rows(4)
    assert "Stopped early" in read(made.run(records)).text


def test_many_images_are_a_density_and_the_page_stays_small(made):
    views = ["x", *(f"Adv_{e}" for e in range(1, 10)), *(f"JPG(Adv_{e})" for e in range(1, 11))]
    text = render(summary_of(FinishedRun((Study(made.records(50_000, views), 1000),))))
    assert "images a cell" in text
    assert len(text.encode()) < 1_000_000


def test_without_jinja2_it_says_what_to_install(uninstall, run):
    uninstall("jinja2")
    with pytest.raises(ValueError, match=r"pip install 'pytest-robustcheck\[report\]'"):
        render(summary_of(run))


def test_change_is_amplified_around_grey():
    clean = np.full((3, 2, 2), 100, dtype=np.uint8)
    changed, factor = amplified(clean, clean + np.array([0, 1], dtype=np.uint8))
    assert factor == 64
    assert changed[0].tolist() == [[128, 192], [128, 192]]
    assert amplified(clean, clean)[0].tolist() == np.full((3, 2, 2), 128).tolist()


@pytest.mark.parametrize(
    ("margin", "percents", "shown"),
    [
        (-0.295, True, "-29.5 points"),
        (0.0145, True, "+1.5 points"),
        (0.0, True, "0.0 points"),
        (-0.00012, True, "-0.012 points"),
        (1.25, False, "+1.25"),
    ],
)
def test_a_claim_shows_by_how_much_it_holds_or_fails(made, margin, percents, shown):
    page = render(summary_of(made.run(claims=(made.claim(margin=margin, percent=percents),))))
    cell = page.partition('data-label="Margin"')[2].partition("</td>")[0]
    assert shown.replace(" ", "\u00a0") in cell


def test_a_claim_without_a_number_says_why(made):
    why = "not evaluated: an earlier part of the assertion failed"
    claim = ReportedClaim("not shown", "C", why, comparison=why)
    page = render(summary_of(made.run(claims=(claim,))))
    table = page.partition('<table class="cards claims')[2].partition("</table>")[0]
    assert table.count(why) == 1
    assert "points" not in table
