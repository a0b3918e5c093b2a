"""`--robustcheck-require-tested-attacks`: the attacks that claims name must find what is planted for them."""

import pytest

from robustcheck.notation import temporary_steps

pytestmark = pytest.mark.slow

OPTION = "--robustcheck-require-tested-attacks"
CHECK = "attack_finds_the_planted_example"
TEST = """
def test_it(robustness):
    assert robustness["{view}"].kept {relation}
"""
ATTACK = """

@robustcheck.register_attack("Idle")
def idle(classifier, images, labels, *, epsilon):
    return images
"""
TOML = """
[claims]
it = "kept(Idle_8) >= 0.5"
"""


@pytest.fixture
def idle(repository):
    """A repository with an attack that does nothing."""
    conftest = repository.path / "conftest.py"
    conftest.write_text(conftest.read_text() + ATTACK)
    with temporary_steps():
        yield repository


@pytest.mark.parametrize("workers", ["0", "2"])
def test_attack_of_a_test_that_finds_nothing_turns_the_run_red(idle, workers):
    pytest.importorskip("xdist")
    idle.makepyfile(TEST.format(view="Idle_8", relation=">= 0.5"))
    idle.runpytest().assert_outcomes(passed=1)
    result = idle.runpytest(OPTION, "-n", workers)
    result.assert_outcomes(passed=1, failed=1)
    text = " ".join(result.stdout.str().split())
    assert f"failed {CHECK}[Idle_8]: Idle_8 finds 0 of " in text
    assert "90% are required" in text


def test_attack_of_a_claim_in_toml_that_finds_nothing_turns_the_run_red(idle):
    (idle.path / "robustcheck.toml").write_text(TOML)
    result = idle.runpytest("robustcheck.toml", OPTION)
    result.assert_outcomes(passed=1, failed=1)
    assert f"{CHECK}[Idle_8]" in result.stdout.str()
    in_suite = idle.runpytest("--robustcheck-suite=sanity", "-k", CHECK)
    in_suite.assert_outcomes(failed=1)
    assert f"{CHECK}[Idle_8]" in in_suite.stdout.str()


def test_sound_attacks_pass_each_once(repository):
    repository.makepyfile(
        TEST.format(view="JPG(PGD_8[steps=5])", relation="<= 0.99"),
        test_b=TEST.format(view="PGD_8[steps=5]", relation="<= 0.99"),
    )
    result = repository.runpytest(OPTION, "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines([f"  passed   {CHECK}[[]PGD_8[[]steps=5]]: PGD_8[[]steps=5]*"])


def test_attack_that_can_not_be_tested_is_skipped_in_the_suite_and_fails_where_tests_are_required(repository):
    repository.makepyfile(
        TEST.format(view="PGD_200[steps=3]", relation="<= 0.99")
    )  # no two images are further apart
    result = repository.runpytest(OPTION)
    result.assert_outcomes(passed=1, failed=1)
    assert "not testable: of 1 planted" in result.stdout.str()
    names = [path.name for path in repository.path.glob("test_*.py")]
    suite = repository.runpytest(*names, "--robustcheck-suite=sanity", "-k", f"{CHECK} or test_it")
    suite.assert_outcomes(passed=1, skipped=1)


def test_without_claims_there_is_nothing_to_test(repository):
    repository.makepyfile("def test_it():\n    assert True")
    repository.runpytest(OPTION).assert_outcomes(passed=1)


def test_claims_that_can_not_be_read_stop_the_suite(repository):
    (repository.path / "robustcheck.toml").write_text("[claims]\nit = 'kept(PG_8) >= 0'\n")
    result = repository.runpytest("--robustcheck-suite=sanity", "-k", CHECK)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "unknown step 'PG'" in result.stderr.str()
