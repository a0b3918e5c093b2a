"""`--robustcheck-suite=jpeg-study`: what it checks, reports and gates."""

import pytest

pytestmark = pytest.mark.slow

CI = "--robustcheck-suite=jpeg-study"


def test_alone_where_no_path_is_given_beside_tests_where_one_is(repository):
    repository.makepyfile(test_own="def test_own():\n    pass")
    names = [
        line.split("[")[0]
        for line in repository.runpytest(CI, "--collect-only", "-q").outlines
        if "::" in line
    ]
    assert "robustcheck/jpeg-study::test_trust_attack_stays_within_epsilon" in names
    assert not any("test_own" in name for name in names)
    beside = repository.runpytest(CI, "test_own.py", "--collect-only", "-q").stdout.str()
    assert "test_own" in beside
    assert "robustcheck/jpeg-study::" in beside


def test_model_on_the_command_line_is_enough(pytester):
    collected = pytester.runpytest("--robustcheck-model=sample", "--collect-only", "-q").stdout.str()
    assert "robustcheck/jpeg-study::" in collected


def test_model_on_the_command_line_leaves_a_repository_its_own_claims(pytester):
    pytester.makepyfile("def test_own(robustness):\n    pass")
    collected = pytester.runpytest("--robustcheck-model=sample", "--collect-only", "-q").stdout.str()
    assert "test_own" in collected
    assert "jpeg-study" not in collected


def test_table_and_findings_on_a_toy(repository):
    result = repository.runpytest(CI, "-rxs")
    outcomes = result.parseoutcomes()
    assert result.ret == pytest.ExitCode.OK
    assert outcomes.get("failed", 0) == 0
    result.stdout.fnmatch_lines(
        [
            "view  *top-1*",
            "x  *",
            "Adv_1  *",
            "Adv_5  *",
            "Adv_10  *",
            "JPG(Adv_1)  *",
            "JPG(Adv_5)  *",
            "JPG(Adv_10)  *",
            "JPG_noise(Adv_1)  *",
            "Noise_1 *",
            "findings of arXiv 1608.00853",
        ]
    )


def test_findings_gate_when_asked(repository):
    reported = repository.runpytest(CI).parseoutcomes()
    gated = repository.runpytest(CI, "--robustcheck-findings=gate").parseoutcomes()
    assert reported["xfailed"] > 0
    assert gated["failed"] == reported["xfailed"]
    assert "xfailed" not in gated


def test_model_at_chance_runs_to_the_end_and_is_told_so(repository):
    conftest = repository.path / "conftest.py"
    text = conftest.read_text()
    conftest.write_text(text.replace("labels[:4] = (labels[:4] + 1) % 4", "labels[:] = np.arange(40) % 4"))
    result = repository.runpytest(CI)
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(
        [
            "clean accuracy is at chance: * of 40 images right*",
            "WARNING: clean accuracy is at chance: *",
            "FAILED robustcheck/jpeg-study::test_trust_clean_accuracy_is_far_above_chance*",
        ]
    )


@pytest.mark.parametrize(
    ("forward", "test"),
    [
        (
            "(images.flatten(1).sign() + images.flatten(1).detach() - images.flatten(1)).round()",
            "attack_beats_random_signs",
        ),
        ("(images + 0.5 * torch.rand_like(images)).flatten(1)", "table_is_the_same_twice"),
    ],
)
def test_evaluation_that_cannot_be_trusted_gates(repository, forward, test):
    conftest = repository.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("return images.flatten(1) @", f"return {forward} @"))
    result = repository.runpytest(CI)
    result.stdout.fnmatch_lines([f"FAILED robustcheck/jpeg-study::test_trust_{test}*"])


def test_too_few_images_to_tell_from_chance_are_no_failure(repository):
    result = repository.runpytest(CI, "--robustcheck-limit=3", "-rs")
    assert result.parseoutcomes().get("failed", 0) == 0
    result.stdout.fnmatch_lines(["SKIPPED*3 images among 4 classes are too few to tell from chance*"])
