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


HEADER = {
    "model": "toy, weights 0123",
    "pixels": "as given (16x16), mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5)",
    "images": f"a folder of a name that is {'long ' * 9}, 8 images, fingerprint 4567",
    "device": "cpu (1 threads)",
    "precision": "fp32",
    "codec": "JPEG 4:2:0, by Pillow 13.0.0",
    "seed": "0",
    "versions": "robustcheck 1.0, torch 2.14.1+cu130, numpy 2.4.6",
}


@pytest.fixture
def documented(made):
    """A run with all of its provenance, and claims of which two are about one blind attack."""
    note = "JPG(Adv_1): attack blind to JPG; an adaptive one may do better"
    names = ("clean", "our-promise", "test_it.py::test_a_name_that_is_too_long_to_stand_beside_its_claim")
    states = ("holds", "refuted", "not shown")
    claims = [
        made.claim(state, name=name, notes=(note,), blind_notes=(note,))
        for state, name in zip(states, names, strict=True)
    ]
    records = replace(made.records(), provenance=Provenance.from_header(HEADER))
    return made.run(records, claims=tuple(claims), findings=(), checks=())


def test_provenance_takes_four_lines_and_all_of_it_is_there_with_v(documented):
    brief, whole = (render_run(documented, verbosity=verbosity) for verbosity in (0, 1))
    start = next(at for at, line in enumerate(brief) if line.startswith("model"))
    assert brief[start : start + 5] == [
        "model      toy, weights 0123",
        f"{'images     a folder of a name that is ' + 'long ' * 9:.77}...",
        "pixels     as given (16x16), mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5)",
        "run        fp32, cpu (1 threads), seed 0, robustcheck 1.0, torch 2.14.1",
        "",
    ]
    assert max(map(len, brief)) <= 80
    text = " ".join(" ".join(whole).split())
    assert all(" ".join(f"{name} {value}".split()) in text for name, value in HEADER.items())


def test_with_q_there_are_the_table_and_the_verdicts_alone(documented):
    quiet = render_run(documented, verbosity=-1)
    assert [line for line in quiet if line and not line.startswith(" ")] == [*quiet[:5], "claims"]
    assert sum(line.startswith(("  HOLDS ", "  REFUTED ", "  NOT SHOWN ")) for line in quiet) == 3


def test_claims_have_names_and_what_is_known_of_a_blind_attack_stands_there_once(documented):
    lines = render_run(documented)
    start = lines.index("claims")
    assert lines[start + 1] == "  HOLDS     clean: accuracy(JPG(Adv_1)) >= 0.45"
    assert "  REFUTED   our-promise: accuracy(JPG(Adv_1)) >= 0.45" in lines
    long = lines.index("  NOT SHOWN test_it.py::test_a_name_that_is_too_long_to_stand_beside_its_claim:")
    assert lines[long + 1] == "            accuracy(JPG(Adv_1)) >= 0.45"
    assert sum("attack blind to the defence" in line for line in lines) == 3
    assert lines[-2:] == [
        "blind attacks",
        "  JPG(Adv_1): attack blind to JPG; an adaptive one may do better",
    ]


def test_verdicts_are_painted(documented):
    lines = render_run(documented, paint=lambda text, colour: f"<{colour}>{text}</>")
    begun = [line.split(":")[0].strip() for line in lines if "</>" in line]
    assert begun[:2] == ["<green>HOLDS</>     clean", "<red>REFUTED</>   our-promise"]
    assert begun[2].startswith("<yellow>NOT SHOWN</> test_it")


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
