"""`--robustcheck-suite=mutation`: which faults turn the run's own claims red."""

import json
import re

import pytest

SUITE = "--robustcheck-suite=mutation"
SOME = "channels_swapped or labels_shifted or gradient_cut or attack_is_noise or jpeg_quality_95 or images_duplicated"
CLAIMS = """
[claims]
clean = "accuracy(x) >= 85%"
attack-works = "accuracy(Adv_8) <= 0.5 * accuracy(x)"
"""
PYTHON = """
def test_clean(robustness):
    assert robustness["x"].accuracy >= 0.85

def test_attack(robustness):
    assert robustness["Adv_8"].accuracy <= 0.5 * robustness["x"].accuracy
"""
WEAK = "[claims]\nweak = 'accuracy(Adv_8) <= 95%'\n"


def chosen(faults, tests="clean or attack or weak"):
    return f"-k=({tests}) and not gate or ({faults})"


def run(repository, *arguments, claims=CLAIMS, faults=SOME):
    if claims:
        (repository.path / "robustcheck.toml").write_text(claims)
    written = repository.path / "run.json"
    result = repository.runpytest(SUITE, chosen(faults), f"--robustcheck-json={written}", *arguments)
    return result, json.loads(written.read_text())


def told(result):
    return " ".join(result.stdout.str().split())


@pytest.mark.parametrize("kind", ["toml", "python"])
def test_faults_are_caught_by_the_claims_of_the_repository(repository, kind):
    if kind == "python":
        repository.makepyfile(PYTHON)
    path = "robustcheck.toml" if kind == "toml" else "."
    result, written = run(repository, path, claims=CLAIMS if kind == "toml" else None)
    mutation = written["mutation"]
    assert mutation["applied"] == mutation["caught"] + len(mutation["survivors"])
    assert mutation["caught"] == mutation["applied"] == 5
    assert [each["name"] for each in mutation["skipped"]] == ["jpeg_quality_95"]
    assert mutation["skipped"][0]["reason"] == "no claim names JPG"
    by_claim = mutation["caught_by"]
    assert "attack_is_noise" in by_claim["accuracy(Adv_8) <= 0.5 * accuracy(x)"]
    assert by_claim["an error in a test"] == ["gradient_cut"]  # the attack refuses to run without one
    assert "labels_shifted" in by_claim["accuracy(x) >= 0.85"]
    assert f"{mutation['caught']} of {mutation['applied']} faults turn this gate red" in told(result)
    assert [claim["state"] for claim in written["claims"]] == ["holds", "holds"]  # as without any fault
    assert len(written["studies"]) == 1
    result.assert_outcomes(passed=2 + 5, skipped=1)


def test_an_interrupted_suite_says_of_how_many_its_score_is(repository):
    (repository.path / "stop.py").write_text(
        """
seen = []

def pytest_runtest_logfinish(nodeid):
    seen.append("robustcheck/mutation::" in nodeid)
    if sum(seen) == 2:
        raise KeyboardInterrupt
"""
    )
    repository.syspathinsert()
    (repository.path / "robustcheck.toml").write_text(WEAK)
    options = (SUITE, chosen(SOME), "--robustcheck-mutation-score=100%", "-p", "stop")
    result = repository.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "interrupted after 2 mutations: the score is of these alone, and gates nothing" in told(result)


def test_survivor_says_what_would_notice_it(repository):
    result, written = run(repository, claims=WEAK, faults="labels_shifted or gradient_cut")
    mutation = written["mutation"]
    (survivor,) = [each for each in mutation["survivors"] if each["name"] == "labels_shifted"]
    assert survivor["claims"] == ["accuracy(Adv_8) <= 0.95"]
    assert "accuracy(x)" in survivor["advice"]
    assert "one off" in survivor["what"]
    assert "SURVIVED labels_shifted: labels are one off" in told(result)


@pytest.mark.parametrize(("required", "code"), [("100%", 1), ("10%", 0)])
def test_score_gates_from_ten_faults_on(repository, required, code):
    many = f"{SOME} or upside_down or pixels_not_scaled or gradient_reversed or labels_shuffled or epsilon or logits"
    result, written = run(
        repository,
        f"--robustcheck-mutation-score={required}",
        claims="[claims]\nclean = 'accuracy(x) >= 85%'\n",
        faults=many.replace(
            "epsilon or ", "classes_in or last_layer or normalisation or colours or rows or "
        ),
    )
    mutation = written["mutation"]
    assert mutation["applied"] >= 10
    assert 0.1 < mutation["score"] < 1
    assert result.ret == code
    assert ("faults turn this gate red, required >= 100.0 %" in told(result)) == bool(code)


def test_score_of_few_faults_does_not_gate_and_says_so(repository):
    result, _ = run(repository, "--robustcheck-mutation-score=100%", claims=WEAK, faults="labels_shifted")
    assert result.ret == 0
    assert "does not gate: 1 faults are caught or survive" in told(result)


def test_failing_score_is_in_junit(repository):
    faults = "labels_s or gradient or classes_in or upside or weights_p or last_layer or pixels_not or images"
    run(repository, "--robustcheck-mutation-score=99%", "--junitxml=j.xml", claims=WEAK, faults=faults)
    text = (repository.path / "j.xml").read_text()
    assert 'name="mutation_score"' in text
    assert re.search(r'name="robustcheck.mutation.caught" value="\d+"', text)


def test_claim_that_fails_before_any_mutation_is_said_first(repository):
    claims = "[claims]\nclean = 'accuracy(x) >= 99%'\nattack = 'accuracy(Adv_8) <= 50%'\n"
    result, written = run(repository, claims=claims, faults="labels_shifted or gradient_cut")
    assert written["mutation"]["failed_before"] == ["accuracy(x) >= 0.99 (refuted)"]
    assert "mutations before any mutation these claims do not hold, so they notice nothing" in told(result)
    assert all("0.99" not in claim for claim in written["mutation"]["caught_by"])
    assert result.ret == 1


def test_run_without_claims_is_red(repository):
    result = repository.runpytest(SUITE, "-k", "labels_shifted")
    assert result.ret == 1
    assert "no fault could be examined: no test of this run makes a claim that holds" in told(result)
    assert "name tests in it, too, as in -k 'test_clean or labels_shifted'" in told(result)


def test_few_images_of_many_leave_close_claims_open(repository):
    claims = "[claims]\nclean = 'accuracy(x) >= 40%'\n"
    faults = "weights_perturbed_by_10 or labels_shifted or classes_in"
    _, written = run(repository, "--robustcheck-limit=12", claims=claims, faults=faults)
    mutation = written["mutation"]
    assert mutation["images"] == 12
    assert {each["name"] for each in mutation["unresolved"]} == {"classes_in_another_order"}
    assert mutation["unresolved"][0]["reason"] == "on 12 of 40 images"
    assert mutation["caught_by"] == {"accuracy(x) >= 0.4": ["labels_shifted"]}


def test_test_that_keeps_its_evaluation_is_not_rerunnable(repository):
    repository.makepyfile(
        """
KEPT = []

def test_clean(robustness):
    if not KEPT:
        KEPT.append(robustness)
    assert KEPT[0]["x"].accuracy >= 0.85
"""
    )
    _, written = run(repository, ".", claims=None, faults="labels_shifted")
    assert [each["name"] for each in written["mutation"]["not_rerunnable"]] == ["labels_shifted"]
    assert written["mutation"]["applied"] == 0


def test_fault_that_changes_no_record_is_equivalent(repository):
    _, written = run(repository, faults="resized_by_another_rule or noise_left_out or baseline")
    mutation = written["mutation"]
    assert [each["name"] for each in mutation["equivalent"]] == ["resized_by_another_rule"]
    assert {each["name"]: each["reason"] for each in mutation["skipped"]} == {
        "noise_left_out": "no claim names noise",
        "baseline_of_a_weaker_model": "there is no baseline (--robustcheck-compare)",
    }


def test_model_without_gradient_and_images_without_labels_skip_with_the_reason(repository):
    conftest = repository.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("(pixels, labels, names", "(pixels, None, names"))
    claims = "[claims]\nclean = 'kept(Noise_1) >= 50%'\nattack-works = 'kept(Adv_8) <= 50%'\n"
    _, written = run(repository, claims=claims, faults="labels_shifted or gradient_cut")
    assert {each["reason"] for each in written["mutation"]["skipped"]} == {"the images have no labels"}
    assert written["mutation"]["caught"] == 1


def test_module_fixture_and_model_are_made_anew_and_the_network_stays_as_it_is(repository):
    conftest = repository.path / "conftest.py"
    conftest.write_text(conftest.read_text() + "\nMADE = []\n")
    repository.makepyfile(
        """
import conftest, pytest

@pytest.fixture(scope="session")
def accuracy(robustcheck_model):
    conftest.MADE.append(robustcheck_model.fingerprint)
    return 0.85

@pytest.fixture(scope="module")
def clean(robustness, accuracy):
    return robustness["x"]

def test_clean(clean, accuracy):
    assert clean.accuracy >= accuracy

def test_weak_last_and_unmutated():
    assert len(set(conftest.MADE)) == 1
"""
    )
    result, written = run(
        repository, ".", "-p", "no:randomly", claims=None, faults="last_layer or pruned or labels_shifted"
    )
    assert written["mutation"]["caught_by"]["accuracy(x) >= 0.85"]
    assert result.parseoutcomes().get("failed", 0) == 0


def test_baseline_is_compared_on_the_few_images_and_refuses_others(repository):
    test = "def test_clean_kept(robustness):\n    assert robustness.no_regression('x', tolerance=0.3)\n"
    repository.makepyfile(
        test_saved="def test_saved(robustness):\n    assert robustness['x'].accuracy >= 0.5\n"
    )
    repository.runpytest("--robustcheck-save=good")
    repository.makepyfile(test_kept=test)
    faults = "images_darkened or labels_shifted or baseline_of_a_weaker"
    arguments = ("--robustcheck-compare=good", "--robustcheck-limit=20")
    _, written = run(repository, ".", *arguments, claims=None, faults=faults)
    mutation = written["mutation"]
    assert mutation["failed_before"] == []
    assert mutation["caught_by"] == {"an error in a test": ["labels_shifted", "images_darkened"]}
    assert [each["name"] for each in mutation["survivors"]] == ["baseline_of_a_weaker_model"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["2"])
def test_workers_share_the_mutations(repository, workers):
    pytest.importorskip("xdist")
    serial, alone = run(repository)
    parallel, shared = run(repository, "-n", workers)
    assert shared["mutation"] == alone["mutation"]
    serial.stdout.re_match_lines([r"robustcheck: 6 mutations, up to \d+\.\d s each, about \d+ (s|min)$"])
    parallel.stdout.re_match_lines([r"robustcheck: 6 mutations, up to .* s each, about \d+ .* on 2 workers$"])
    assert parallel.stdout.str().count("mutations, up to") == 1


def test_records_are_of_the_set_up_as_it_is_and_the_run_says_so(repository):
    result, _ = run(repository, "--robustcheck-records=r.csv", claims=WEAK, faults="labels_shifted")
    assert "--robustcheck-records has the images that this suite evaluates, few of the set" in told(result)
    labels = [line.split(",")[3] for line in (repository.path / "r.csv").read_text().splitlines()]
    repository.runpytest("--robustcheck-records=sound.csv", "-k", "weak")
    sound = [line.split(",")[3] for line in (repository.path / "sound.csv").read_text().splitlines()]
    assert labels == sound


def test_faults_that_are_random_have_the_same_outcome_in_each_run(repository):
    repository.makepyfile(
        """
import pathlib, torch

def test_clean(robustness):
    with pathlib.Path("drawn").open("a") as file:
        file.write(f"{torch.rand(1).item()}\\n")
    assert robustness["x"].accuracy >= 0.85
"""
    )
    run(repository, ".", claims=None, faults="images_darkened or images_recompressed")
    run(repository, ".", claims=None, faults="images_darkened or images_recompressed")
    before, *mutated = (repository.path / "drawn").read_text().split()
    assert len({mutated[0], mutated[1], mutated[3], mutated[4]}) == 1
    assert before != mutated[0]


def test_baseline_of_few_images_is_not_saved(repository):
    result = repository.runpytest(SUITE, "--robustcheck-save=main")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--robustcheck-save would save few images*"])


def test_score_without_the_suite_is_an_error(repository):
    result = repository.runpytest("--robustcheck-mutation-score=80%")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--robustcheck-mutation-score needs --robustcheck-suite=mutation*"])
    result = repository.runpytest(SUITE, "--robustcheck-mutation-score=8 of 10")
    result.stderr.fnmatch_lines(["*must be a share from 0% to 100%, such as 80%, got '8 of 10'*"])
