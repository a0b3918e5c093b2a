"""Blind or not: what is said of a claim whose attack knew nothing of the defence, and the option that turns it red."""

import pytest

TEST = """
def test_it(robustness):
    assert robustness["{view}"].{measure} >= {least}
"""


def section(result):
    text = result.stdout.str()
    return " ".join(text[text.rindex("= robustcheck =") :].split())


@pytest.fixture
def claim(repository):
    def write(view="JPG_10(Adv_6)", least=0.15, measure="kept"):
        repository.makepyfile(TEST.format(view=view, least=least, measure=measure))
        return repository

    return write


def test_blind_claim_says_so(claim):
    result = claim().runpytest()
    result.assert_outcomes(passed=1)
    assert "JPG_10(Adv_6): attack blind to JPG_10; an adaptive one may do better" in section(result)


def test_value_against_the_adaptive_twin_stands_beside_it_where_it_was_evaluated(claim):
    repository = claim()
    repository.makepyfile(
        test_twin='def test_twin(robustness):\n    assert robustness["JPG_10(Adv_6[through=JPG_10])"].kept >= 0'
        '\n    assert robustness["JPG_10(Adv_6[through=JPG_10])"].kept >= 0.01'
    )
    text = section(repository.runpytest("-k", "test_it or test_twin"))
    assert "attack blind to JPG_10; against one that goes through it, kept " in text


def test_claim_that_holds_blind_and_fails_adaptive_is_red_when_that_is_required(claim):
    repository = claim(least=0.15)
    repository.runpytest().assert_outcomes(passed=1)
    result = repository.runpytest("--robustcheck-require-adaptive")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E * REFUTED: kept(JPG_10(Adv_6[[]through=JPG_10])) >= 0.15",
            "E * measured * %, required >= 15.0 %: * points short",
            "E * all 40 images: exact for these images and seeds",
            "E * kept(JPG_10(Adv_6)) >= 0.15 holds, * %, where the attack is blind",
            "E * To do: claim no more than holds against an attacker who knows of the",
            "E * defence, or mend the defence.",
            "worst images*",
            "*JPG_10(Adv_6[[]through=JPG_10]) -> *",
        ]
    )


def test_claim_that_holds_against_both_is_green_and_says_so(claim):
    result = claim(least=0.05).runpytest("--robustcheck-require-adaptive")
    result.assert_outcomes(passed=1)
    assert "holds against the adaptive attack too" in section(result)


def test_recovery_is_that_of_the_adaptive_attack(repository):
    repository.makepyfile(
        'def test_it(robustness):\n    assert robustness.recovery("JPG_10(Adv_6)", measure="kept") >= 0.05'
    )
    repository.runpytest().assert_outcomes(passed=1)
    result = repository.runpytest("--robustcheck-require-adaptive")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * REFUTED: recovery of kept(JPG_10(Adv_6[[]through=JPG_10])) >= 0.05"])


def test_claims_in_toml_too(repository):
    (repository.path / "robustcheck.toml").write_text(
        '[claims]\nblind = "kept(JPG_10(Adv_6)) >= 15%"\nclean = "accuracy(x) >= 80%"\n'
        'adaptive = "kept(JPG_10(Adv_6[through=JPG_10])) >= 5%"\n'
    )
    repository.runpytest("robustcheck.toml").assert_outcomes(passed=3)
    result = repository.runpytest("robustcheck.toml", "--robustcheck-require-adaptive")
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["REFUTED: kept(JPG_10(Adv_6[[]through=JPG_10])) >= 0.15"])


def test_attack_that_can_t_go_through_says_what_would(claim):
    pytest.importorskip("torchattacks")
    result = claim(view="JPG_10(torchattacks:FGSM_6)", least=0.01).runpytest("--robustcheck-require-adaptive")
    result.assert_outcomes(failed=1)
    text = " ".join(result.stdout.str().split())
    assert "blind to JPG_10, and torchattacks:FGSM_6 can't go through it" in text
    assert "PGD_6[through=JPG_10]" in text


def test_undefended_claims_are_none_of_its_business(claim):
    claim(view="Adv_6", least=0.01).runpytest("--robustcheck-require-adaptive").assert_outcomes(passed=1)


def test_stopping_early_decides_both(claim):
    repository = claim(least=0.15)
    result = repository.runpytest("--robustcheck-require-adaptive", "--robustcheck-stop-early")
    result.assert_outcomes(failed=1)
    assert "where the attack is blind" in result.stdout.str()


def test_ini_key(claim):
    repository = claim(least=0.15)
    repository.makeini("[pytest]\nrobustcheck_require_adaptive = true\n")
    repository.runpytest().assert_outcomes(failed=1)


def test_what_one_test_names_and_can_t_be_had_fails_that_test_alone(repository):
    repository.makepyfile(
        """
def test_sound(robustness):
    assert robustness["Adv_1"].kept >= 0.1

def test_target(robustness):
    assert robustness["Adv_1[target=9]"].kept >= 0.1
"""
    )
    result = repository.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*toy has no class 9: its classes go from 0 to 3*"])
