from dataclasses import replace

import numpy as np
import pytest

from robustcheck import ImageSet, RobustnessWarning, evaluate
from robustcheck.records import Records
from robustcheck.records.provenance import Provenance
from robustcheck.report.formats.terminal import render
from robustcheck.report.run import Finding, FinishedRun, ReportedClaim
from robustcheck.report.study import Study, merge_studies
from robustcheck.report.summary import summary_of


def render_run(run, **options):
    return render(summary_of(run), **options)


def study(toy_classifier, toy_images, *views):
    records = evaluate(toy_classifier, toy_images, views)
    fixed = Records(
        records.ids,
        records.names,
        records.labels,
        records.columns,
        Provenance.from_header({"model": "toy, weights 0123"}),
    )
    return Study(fixed, 4)


def test_the_whole_section(toy_classifier, toy_images):
    run = FinishedRun(
        (study(toy_classifier, toy_images, "Noise_9", "JPG(Adv_10)", "Adv_10", "Adv_9"),),
        (
            ReportedClaim(
                "holds", "accuracy(x) >= 0.5", "measured 76.9 %, required >= 50.0 %", ("attack blind to JPG",)
            ),
        ),
        (Finding("JPEG does nothing", False, "0 %"),),
    )
    text = "\n".join(render_run(run))
    rows = [line.split()[0] for line in text.splitlines()[1:6]]
    assert rows == ["x", "Adv_9", "Adv_10", "JPG(Adv_10)", "Noise_9"]
    assert text.splitlines()[1] == "x              76.9 %   46.2 .. 95.0 %      0.402      13"
    assert text.splitlines()[6:] == [
        "",
        "model      toy, weights 0123",
        "",
        "claims",
        "  HOLDS     accuracy(x) >= 0.5",
        "            measured 76.9 %, required >= 50.0 %",
        "            attack blind to JPG",
        "",
        "findings of arXiv 1608.00853",
        "  JPEG does nothing: does not hold here",
        "    0 %",
    ]


def test_nothing_is_wider_than_80_columns(toy_classifier, toy_images):
    deep = "JPG_50(" * 14 + "Adv_9" + ")" * 14
    claim = ReportedClaim("refuted", f"accuracy({deep}) >= 0.5", "left " * 30)
    lines = render_run(FinishedRun((study(toy_classifier, toy_images, deep),), (claim,)))
    assert max(len(line) for line in lines if deep not in line) <= 80
    assert deep in lines


def test_images_without_labels_have_no_top_1(toy_classifier, toy_images):
    unlabelled = ImageSet.from_arrays(next(toy_images.batches(13)).pixels)
    assert "no label" in render_run(FinishedRun((study(toy_classifier, unlabelled, "x"),)))[1]


def test_model_at_chance_is_said_under_the_table(toy_classifier, toy_images):
    guessed = ImageSet.from_arrays(next(toy_images.batches(13)).pixels, np.arange(13) % 4)
    with pytest.warns(RobustnessWarning, match="toy: clean accuracy is at chance"):
        evaluated = study(toy_classifier, guessed, "x")
    text = "\n".join(render_run(FinishedRun((evaluated,))))
    assert "WARNING: clean accuracy is at chance" in text


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\nb", "a\rb", "\u202eabc"])
def test_control_characters_do_not_reach_the_terminal(hostile):
    lines = render_run(FinishedRun(findings=(Finding(hostile, True, hostile),)))
    assert all(line.isprintable() for line in lines)


def test_ascii_terminal_gets_ascii():
    lines = render_run(FinishedRun(findings=(Finding("naïve ≥ 5", True, "✓"),)), encoding="ascii")
    assert all(line.isascii() for line in lines)
    assert "na\\xefve" in lines[1]


def test_what_workers_send_arrives(toy_classifier, toy_images):
    one, other = (study(toy_classifier, toy_images, view) for view in ("Adv_9", "Noise_9"))
    (merged,) = merge_studies([Study.from_plain(one.to_plain()), Study.from_plain(other.to_plain())])
    assert set(map(str, merged.records.views)) == {"x", "Adv_9", "Noise_9"}
    assert (
        render_run(FinishedRun((merged,)))[:4]
        == render_run(FinishedRun((study(toy_classifier, toy_images, "Adv_9", "Noise_9"),)))[:4]
    )


def test_what_workers_send_is_exact(toy_classifier, toy_images):
    one = study(toy_classifier, toy_images, "Adv_9")
    odd = replace(one.records, names=("caf\udce9.png", *one.records.names[1:]))
    sent = Study.from_plain(replace(one, records=odd).to_plain()).records
    assert (sent.ids, sent.names, sent.provenance) == (odd.ids, odd.names, odd.provenance)
    assert sent.labels.tobytes() == odd.labels.tobytes()
    for view in odd.views:
        assert sent.columns[view].tobytes() == odd.columns[view].tobytes()
        assert sent.columns[view].dtype == odd.columns[view].dtype
