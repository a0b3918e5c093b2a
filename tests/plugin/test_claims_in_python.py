"""Assertions on the `robustness` fixture, and what a person sees when one fails."""

import pytest


def test_claims_that_hold_pass_and_are_listed(repository):
    repository.makepyfile(
        """
        def test_claims(robustness):
            clean, adv = robustness["x"], robustness["Adv_20"]
            assert clean.accuracy >= 0.9
            assert adv.accuracy <= 0.5 * clean.accuracy
            assert 0.2 > adv.accuracy + 0.1
        """
    )
    result = repository.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*= robustcheck =*",
            "view *top-1 *95 % interval *p(top) *n",
            "x  *90.0 % *76.3 .. 97.2 % *40",
            "Adv_20 *%*40",
            "model *toy, weights *",
            "images *forty, 40 images, *",
            "pixels *as given (16x16)*",
            "run *fp32, cpu * seed 0, robustcheck *",
            "claims",
            "  HOLDS     *: accuracy(x) >= 0.9",
            "  HOLDS     *: accuracy(Adv_20) <= 0.5 * accuracy(x)",
            "  HOLDS     *: accuracy(Adv_20) + 0.1 < 0.2",
        ]
    )
    start = next(index for index, line in enumerate(result.outlines) if "= robustcheck =" in line)
    assert max(map(len, result.outlines[start:])) <= 80


def test_failed_claim_says_verdict_numbers_and_what_to_do_then_the_worst_images(repository):
    repository.makepyfile(
        """
        def test_usable(robustness):
            assert robustness["Adv_20"].accuracy >= 0.8 * robustness["x"].accuracy
        """
    )
    result = repository.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       assert robustness*",
            "E       REFUTED: accuracy(Adv_20) >= 0.8 * accuracy(x)",
            "E *measured *, required >= 72.0 %: * points short",
            "E *all 40 images: exact*",
            "E *To do:*",
            "*- robustcheck -*",
            "worst images (5 of * that count against it, of 40 seen):",
            "  toy-*.png (label ?); Adv_20 -> ?, p(top) 0.??; x -> ?, p(top) *",
            "  REFUTED   *: accuracy(Adv_20) >= 0.8 * accuracy(x)",
        ]
    )
    message = [line for line in result.outlines if line.startswith("E  ")]
    assert len(message) <= 9
    assert not any("robustness.py" in line or "estimate.py" in line for line in result.outlines)


def test_check_takes_a_claim_as_text(repository):
    repository.makepyfile(
        """
        def test_holds(robustness):
            assert robustness.check("accuracy(x) >= 90%")

        def test_fails(robustness):
            assert robustness.check("accuracy(x) >= 95%")
        """
    )
    result = repository.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*REFUTED: accuracy(x) >= 0.95", "*5.0 points short*", "worst images (4 of 4 *"]
    )


def test_recovery_against_an_attack_that_took_nothing_is_refused(repository):
    repository.makepyfile(
        """
        def test_recovery(robustness):
            assert robustness.recovery("JPG_100(Adv_1)") >= 0.5
        """
    )
    result = repository.runpytest("--robustcheck-limit=4")  # too few to show that it took anything
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *recovery(JPG_100(Adv_1)) is refused: the attack took next to *"])


def test_estimates_have_no_truth_value_and_say_so(repository):
    repository.makepyfile(
        """
        def test_forgot_the_number(robustness):
            assert robustness["x"].accuracy
        """
    )
    result = repository.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *TypeError: *accuracy(x)*"])


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ('robustness["JPEG(Adv_1)"]', "unknown step 'JPEG': did you mean JPG?*"),
        ('robustness["Adv_0.1"]', "epsilon must be an integer from 1 to 255 *"),
        ('robustness.check("acuracy(x) >= 0.5")', "*did you mean*accuracy*"),
        ('robustness["x"].accuracy >= 0', "*true of every model*"),
    ],
)
def test_users_mistake_ends_at_the_users_line(repository, expression, message):
    repository.makepyfile(f"def test_mistake(robustness):\n    {expression}\n")
    result = repository.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f">       {expression.replace('[', '[[]')}", f"E *{message}"])
    assert not any("/robustcheck/" in line for line in result.outlines)


def test_blind_claims_are_marked_beside_the_adaptive_value(repository):
    repository.makepyfile(
        """
        def test_blind(robustness):
            adaptive = robustness["JPG_10(Adv_9[through=JPG_10])"]
            assert robustness["JPG_10(Adv_9)"].accuracy >= 0.01

        def test_unmet(robustness):
            assert robustness["JPG_20(Adv_9)"].accuracy >= 0.01
        """
    )
    result = repository.runpytest()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "  HOLDS     *: accuracy(JPG_10(Adv_9)) >= 0.01",
            "  HOLDS     *: accuracy(JPG_20(Adv_9)) >= 0.01",
            "blind attacks",
            "  JPG_10(Adv_9): attack blind to JPG_10; against one that goes through*",
            "  JPG_20(Adv_9): attack blind to JPG_20; an adaptive one may do better*",
        ]
    )


def test_views_of_all_tests_are_evaluated_in_one_pass(repository):
    repository.makepyfile(
        """
        import pytest

        passes = []

        @pytest.fixture(autouse=True)
        def count(robustness, monkeypatch):
            batches = type(robustness.images).batches

            def counted(images, size, order=None):
                if order is None or len(order) == len(images):  # no trial of a few
                    passes.append(1)
                return batches(images, size, order)

            monkeypatch.setattr(type(robustness.images), "batches", counted)

        def test_one(robustness):
            assert robustness["Adv_20"].accuracy < 0.5

        @pytest.mark.parametrize("view", ["JPG(Adv_1)", "Noise_1"])
        def test_more(robustness, view):
            assert robustness[view].kept > 0.01

        def test_text(robustness):
            assert robustness.check("kept(JPG_50) >= 1%")

        def test_count():
            assert len(passes) == 1
        """
    )
    repository.runpytest().assert_outcomes(passed=5)


def test_fixture_of_one_test_reaches_no_other(repository):
    """Two conftests bring two models: neither is asked about the other's claims."""
    for name, flip in (("one", "1"), ("two", "-1")):
        folder = repository.mkdir(name)
        (folder / "conftest.py").write_text(
            "import pytest, robustcheck\n"
            "@pytest.fixture(scope='session')\n"
            "def robustcheck_model(robustcheck_model):\n"
            "    import copy, torch\n"
            "    net = copy.deepcopy(robustcheck_model.module)\n"
            f"    net.weight.data *= {flip}\n"
            f"    return robustcheck.Classifier(net, mean=(.5,)*3, std=(.5,)*3, input_size=16, name='{name}', device='cpu')\n"
        )
        relation = ">=" if name == "one" else "<="
        (folder / f"test_{name}.py").write_text(
            f"def test_it(robustness):\n    assert robustness['x'].accuracy {relation} 0.5\n"
            f"    assert robustness.classifier.name == '{name}'\n"
        )
    result = repository.runpytest()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["  HOLDS     *: accuracy(x) >= 0.5 (one)", "  HOLDS     *: accuracy(x) <= 0.5 (two)"]
    )


def test_claim_within_the_noise_of_the_seeds_warns(repository):
    repository.makepyfile(
        """
        def test_clear(robustness):
            assert robustness["Noise_40"].kept >= 0.01

        def test_by_chance(robustness):
            share = float(robustness["Noise_40"].kept)
            assert robustness["Noise_40"].kept >= share
            assert robustness["Noise_40"].kept <= share
        """
    )
    result = repository.runpytest("-W", "default")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*RobustnessWarning: kept(Noise_40) *: within the noise of the seeds: with --robustcheck-seed=1 it would*"
        ]
    )
