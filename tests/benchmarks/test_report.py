"""What a page and the data of a run of 50,000 images and 20 views cost, from records in memory."""

import numpy as np
import pytest

from robustcheck.notation import parse
from robustcheck.records import Records
from robustcheck.records.provenance import Provenance
from robustcheck.records.rows import as_rows
from robustcheck.report.formats import html
from robustcheck.report.formats import json as data
from robustcheck.report.run import FinishedRun
from robustcheck.report.study import Study
from robustcheck.report.summary import summary_of

IMAGES = 50_000
VIEWS = ("x", *(f"Adv_{e}" for e in range(1, 11)), *(f"JPG(Adv_{e})" for e in range(1, 10)))


@pytest.fixture(scope="module")
def run():
    random = np.random.default_rng(0)
    labels = random.integers(0, 1000, IMAGES)
    columns = {}
    for view in VIEWS:
        prediction = np.where(random.random(IMAGES) < 0.5, labels, 0)
        columns[parse(view)] = as_rows(
            {
                "prediction": prediction,
                "correct": (prediction == labels).astype(float),
                "p_top": random.random(IMAGES),
                "kept": (prediction == labels).astype(float),
                "linf": random.random(IMAGES),
                "l2": random.random(IMAGES),
            }
        )
    ids = tuple(f"{image:016x}" for image in range(IMAGES))
    provenance = Provenance.from_header(
        {"model": "made up, weights 0123", "images": f"made up, {IMAGES} images"}
    )
    return FinishedRun((Study(Records(ids, ids, labels, columns, provenance), 1000),))


@pytest.mark.parametrize("render", [html.render, data.render], ids=["page", "json"])
def test_large_run(robustcheck_benchmark, run, render):
    text = robustcheck_benchmark(lambda: render(summary_of(run)), images=IMAGES)
    robustcheck_benchmark.note(f"{len(text.encode()):,} bytes")
    assert len(text.encode()) < 1_000_000
