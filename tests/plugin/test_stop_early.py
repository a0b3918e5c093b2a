"""`--robustcheck-stop-early` on a set large enough to stop."""

import re

import pytest

pytestmark = pytest.mark.slow

TESTS = """
import pytest

def test_clear(robustness):
    assert robustness["x"].accuracy >= 0.6

def test_clearly_not(robustness):
    assert robustness["Adv_20"].accuracy >= 0.5

def test_recovery(robustness):
    assert robustness.recovery("JPG_90(Adv_20)") <= 0.9
"""


@pytest.fixture
def large(repository):
    conftest = repository.path / "conftest.py"
    text = (
        conftest.read_text()
        .replace("(40, 3, 16, 16)", "(3000, 3, 16, 16)")
        .replace("range(40)", "range(3000)")
    )
    conftest.write_text(
        text.replace("labels[:4] = (labels[:4] + 1) % 4", "labels[::10] = (labels[::10] + 1) % 4")
    )
    repository.makepyfile(TESTS)
    return repository


def verdicts(result):
    return sorted(
        line.split(" ", 3)[2:] for line in result.outlines if line.startswith(("  HOLDS ", "  REFUTED "))
    )


def test_it_stops_and_agrees_with_the_whole_set(large):
    early = large.runpytest("--robustcheck-stop-early", "--robustcheck-min-images=256")
    whole = large.runpytest()
    for result in (early, whole):
        result.assert_outcomes(passed=2, failed=1)
    assert verdicts(early) == verdicts(whole)
    early.stdout.fnmatch_lines(
        [
            "E *REFUTED: accuracy(Adv_20) >= 0.5",
            "E *n = 256 of 3000*",
            "x  *256",
            "Stopped early:*",
            "  REFUTED   *: accuracy(Adv_20) >= 0.5",
            "*n = 256 of 3000, alpha 0.05",
        ]
    )
    whole.stdout.fnmatch_lines(["x *3000", "*all 3000 images"])


def numbers(result):
    return [
        line
        for line in result.outlines
        if re.match(r"  (HOLDS|REFUTED) |.*n = \d+ of |(x|Adv|JPG)\S* .* \d+$", line)
    ]


def test_workers_of_xdist_decide_from_the_same_images(large):
    pytest.importorskip("xdist")
    options = ("--robustcheck-stop-early", "--robustcheck-min-images=256", "--robustcheck-store=off")
    parallel = large.runpytest(*options, "-n", "2")
    parallel.assert_outcomes(passed=2, failed=1)
    serial = large.runpytest(*options)
    assert sorted(numbers(parallel)) == sorted(numbers(serial))
    assert sum("n = 256 of 3000" in line for line in numbers(parallel)) >= 2


def test_no_batch_is_evaluated_after_the_deciding_one_and_no_view_that_no_claim_needs(large):
    large.makepyfile(
        """
        def test_it(robustness):
            unused = robustness["JPG(Adv_5)"]
            assert robustness["x"].accuracy >= 0.6
            records = robustness.records
            assert records.seen("x").sum() == 256
            assert "JPG(Adv_5)" not in map(str, records.views)
        """
    )
    result = large.runpytest("--robustcheck-stop-early", "--robustcheck-min-images=256")
    result.assert_outcomes(passed=1)


def test_a_decision_falls_at_the_end_of_any_batch(large):
    large.makepyfile("def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.3\n")
    result = large.runpytest("--robustcheck-stop-early")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["x * 8", "*n = 8 of 3000, alpha 0.05"])


def test_budget_that_does_not_decide_is_not_shown(large):
    large.makepyfile("def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.895")
    result = large.runpytest("--robustcheck-stop-early", "--robustcheck-budget=400")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *NOT SHOWN: accuracy(x) >= 0.895", "E *n = 400 of 3000*", "*voids the guarantee*"]
    )


def test_interrupt_in_the_middle_of_a_claim_leaves_what_was_seen(large):
    large.makepyfile(
        """
        def test_it(robustness, robustcheck_classifier):
            seen = []

            def stop(module, args):
                if sum(seen) >= 100:
                    raise KeyboardInterrupt
                if len(args[0]) > 2:  # not what is tried of the model before it begins
                    seen.append(len(args[0]))

            robustcheck_classifier.module.register_forward_pre_hook(stop)
            assert robustness["x"].accuracy >= 0.6
        """
    )
    result = large.runpytest_subprocess("--robustcheck-stop-early", "--robustcheck-min-images=256")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["x *104", "*KeyboardInterrupt*"])


@pytest.mark.parametrize(
    "statement",
    [
        "assert not robustness['x'].accuracy < 0.895",
        "assert [view for view in ('x',) if robustness[view].accuracy < 0.895] == []",
        "assert robustness['x'].accuracy >= 0.895 or True",
    ],
)
def test_not_shown_is_not_taken_for_false(large, statement):
    large.makepyfile(f"def test_it(robustness):\n    {statement}\n")
    result = large.runpytest("--robustcheck-stop-early", "--robustcheck-budget=400")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *NOT SHOWN: accuracy(x) * 0.895"])


@pytest.mark.parametrize(
    "wrong", ["about='populace'", "on_undecided='Fail'", "alpha=0", "alpha=5", "tolerance=-1"]
)
def test_settings_of_a_check_are_checked(large, wrong):
    large.makepyfile(f"def test_it(robustness):\n    robustness.check('accuracy(x) >= 0.5', {wrong})\n")
    result = large.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E *{wrong.split('=')[0]} must be *"])
