"""Runs made up from numbers, so that every report's text can be known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from robustcheck.notation import parse
from robustcheck.records import Records, as_rows
from robustcheck.records.provenance import Provenance
from robustcheck.report.panel import Panel, Picture, Prediction
from robustcheck.report.run import Check, Finding, FinishedRun, ReportedClaim
from robustcheck.report.study import Study

VIEWS = ("x", "Adv_1", "JPG(Adv_1)", "JPG_noise(Adv_1)")
DOT = "UklGRh4AAABXRUJQVlA4TBEAAAAvAAAAAAdQjyLXo/+BiOh/AAA="  # a WebP of one pixel

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "</style><img src=x onerror=alert(3)>",
    '"><svg onload=alert(4)>',
    "' onmouseover='alert(5)",
    "javascript:alert(6)",
    "{{ 7 * 7 }}{% raw %}",
    "<!-- comment",
    "]]><![CDATA[",
    "&lt;b&gt; &amp;",
    "line\nbreak\r\nand\ttab",
    "\u202egnp.exe",
    "שלום עולם",
    "a" * 300,
    "👩‍🔬🏳️‍🌈 emoji",
    "nul\x00 bell\x07 escape\x1b[31m",
    "pipe|`tick`*star*_under_[link](http://example.invalid)",
    "::error::workflow",
    "lone \udc80 surrogate",
    "zero\u200bwidth\ufeff",
]


def made_records(count=8, views=VIEWS, *, labelled=True, names=None, wrong=False, seed=0, **provenance):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, count)
    columns = {}
    top = labels + 1 if wrong else labels
    for view in views:
        prediction = np.where(random.random(count) < 0.5, top, labels + 2) if view != "x" else top
        columns[parse(view)] = as_rows(
            {
                "prediction": prediction,
                "correct": (prediction == labels).astype(float) if labelled else np.full(count, np.nan),
                "p_top": random.random(count),
                "kept": (prediction == top).astype(float),
                "linf": np.full(count, 0.0 if view == "x" else 1.0),
                "l2": np.full(count, 0.0 if view == "x" else 9.5),
            }
        )
    return Records(
        tuple(f"{image:016x}" for image in range(count)),
        tuple(names or [f"image-{image}.png" for image in range(count)]),
        labels if labelled else np.full(count, -1),
        columns,
        Provenance.from_header(
            {"model": "toy, weights 0123", "images": f"made up, {count} images", **provenance}
        ),
    )


def made_claim(state="holds", text="accuracy(JPG(Adv_1)) >= 0.45", **rest):
    numbers = {"estimate": 0.5, "low": 0.4, "high": 0.6, "threshold": 0.45, "relation": ">=", "percent": True}
    known = {"seen": 300, "population": 1000, "alpha": 0.05, "views": ("JPG(Adv_1)",), "attack": "blind"}
    place = {"test": "test_it.py::test_it", "file": "test_it.py", "line": 7}
    words = {
        "comparison": "measured 50.0 % (40.0 .. 60.0), required >= 45.0 %: 5.0 points to spare",
        "sample": "n = 300 of 1000, alpha 0.05",
    }
    return ReportedClaim(
        state,
        text,
        "; ".join(words.values()),
        model="toy",
        **{"notes": ("a note",), **words, **numbers, **known, **place, **rest},
    )


def made_panel(image="image-0.png", label="tench", guess="tench"):
    top = (Prediction(guess, 0, 0.9), Prediction("goldfish", 1, 0.07), Prediction("shark", 2, 0.01))
    pictures = tuple(Picture(view, DOT, 1, 1, top, right=True) for view in VIEWS[:3])
    return Panel("Given back by JPEG", image, label, (*pictures, Picture("Adv_1 - x, times 64", DOT, 1, 1)))


def made_run(records=None, **rest):
    known = {
        "claims": (
            made_claim(),
            made_claim("refuted", failed=True),
            made_claim("not shown", attack="adaptive"),
        ),
        "findings": (
            Finding("JPEG gives back much", holds=True, numbers="50 %"),
            Finding("noise too", False, "9 %"),
        ),
        "checks": (Check("gradient", "passed", "It is there."), Check("steps", "failed", "More hurt less.")),
        "session": {"command line": "pytest", "date": "2026-11-24 12:00 UTC"},
    }
    study = Study(records or made_records(), 5, (made_panel(),))
    return FinishedRun((study,), **{**known, **rest})


@pytest.fixture
def run():
    """One study, three claims, two findings, two checks, a panel."""
    return made_run()


@pytest.fixture(scope="session")
def made():
    """What makes records, claims, panels and runs."""
    return SimpleNamespace(records=made_records, claim=made_claim, panel=made_panel, run=made_run)


@pytest.fixture(scope="session")
def hostile_texts():
    """Names that a file, a class or a model might have to make a page do what it is not meant to."""
    return HOSTILE
