"""An error that keeps claims from being evaluated fails every test that needed it, whatever its marks say."""

import pytest

TESTS = """
import pytest

@pytest.mark.xfail(reason="a known weakness")
def test_one(robustness):
    assert robustness["Adv_1"].accuracy >= 0.99

def test_two(robustness):
    assert robustness["x"].accuracy >= 0.5

@pytest.mark.xfail(reason="a known weakness")
def test_three(robustness):
    assert robustness["x"].accuracy >= 0.99
"""
POINTER = "not evaluated, see *::*: "
NO_MODEL = """
import pytest

@pytest.fixture(scope="session")
def robustcheck_model():
    {body}
"""
FAILING_MODEL = """
import numpy as np
import robustcheck
import torch

class Net(torch.nn.Module):
    def forward(self, images):
        if len(images) > 1:
            raise ZeroDivisionError("inside the network")
        return torch.zeros(len(images), 4)

def model():
    return robustcheck.Classifier(Net(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="cpu")
"""


@pytest.fixture
def nowhere(repository):
    """A repository whose tests ask for images that do not exist, and a claim of `robustcheck.toml` that does."""
    conftest = repository.path / "conftest.py"
    own, _, _ = conftest.read_text().rpartition("@pytest.fixture")
    conftest.write_text(own)
    repository.makepyfile(test_it=TESTS)
    (repository.path / "robustcheck.toml").write_text('[claims]\nclean = "accuracy(x) >= 10%"\n')
    return repository


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["serial", "xdist"]
)
def test_every_test_fails_and_one_tells_why(nowhere, workers):
    if workers:
        pytest.importorskip("xdist")
    result = nowhere.runpytest("--robustcheck-images=nowhere", *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(errors=4)
    told = [line for line in result.outlines if line.startswith("robustcheck: ")]
    assert len(told) == 1
    assert "nowhere" in told[0]
    pointers = [line for line in result.outlines if line.startswith("not evaluated, see ")]
    assert len(pointers) == 3
    assert {line.partition(": ")[0] for line in pointers} == {pointers[0].partition(": ")[0]}


def test_first_and_pointers_are_told_apart_by_error(nowhere):
    """Of several models, each with an error of its own, each error is reported in full once."""
    nowhere.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session", params=["first", "second"])
        def robustcheck_model(request):
            raise OSError(f"no {request.param} model")
        """
    )
    result = nowhere.runpytest("-k", "two or three")
    result.assert_outcomes(errors=4)
    for name in ("first", "second"):
        assert sum(line == f"E       OSError: no {name} model" for line in result.outlines) == 1
        result.stdout.fnmatch_lines([f"{POINTER}OSError: no {name} model"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise OSError('no such weights')", {"errors": 4}),
        ("pytest.fail('no network today')", {"errors": 4}),
        ("pytest.skip('no network today')", {"skipped": 4}),
        ("pytest.xfail('no network today')", {"xfailed": 4}),
        ("return 'a text'", {"errors": 4}),
    ],
)
def test_a_fixture_s_own_error_counts_and_its_own_decision_is_respected(nowhere, body, told):
    nowhere.makeconftest(NO_MODEL.format(body=body))
    nowhere.runpytest().assert_outcomes(**told)


def test_error_of_an_evaluation_is_no_expected_failure(nowhere):
    nowhere.makepyfile(test_it=FAILING_MODEL + TESTS)
    nowhere.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def robustcheck_model():
            from test_it import model
            return model()

        @pytest.fixture(scope="session")
        def robustcheck_images(robustcheck_model):
            import numpy as np, robustcheck
            pixels = np.zeros((8, 3, 16, 16), dtype=np.uint8)
            return robustcheck.ImageSet.from_arrays(pixels, np.zeros(8, dtype=int))
        """
    )
    result = nowhere.runpytest("test_it.py")
    result.assert_outcomes(failed=3)
    assert sum(line.startswith("not evaluated, see") for line in result.outlines) == 2
    assert sum("ZeroDivisionError: inside the network" in line for line in result.outlines) >= 1


def test_a_view_that_cannot_be_evaluated_fails_unless_its_error_is_expected(repository):
    repository.makepyfile(
        """
        import pytest, robustcheck

        @pytest.mark.xfail(reason="weak")
        def test_hidden(robustness):
            assert robustness["Transfer_1[nowhere:model]"].accuracy >= 0.99

        @pytest.mark.xfail(raises=ValueError, reason="not for this model")
        def test_expected(robustness):
            assert robustness["Transfer_1[nowhere:model]"].accuracy >= 0.99

        @pytest.mark.xfail(reason="weak")
        def test_weak(robustness):
            assert robustness["Adv_20"].accuracy >= 0.99

        @pytest.mark.xfail(run=False, reason="slow")
        def test_not_run(robustness):
            assert robustness["x"].accuracy >= 0.99

        @pytest.mark.xfail(reason="a bug of the test")
        def test_other(robustness):
            assert robustness["x"].no_such_measure >= 0.99
        """
    )
    result = repository.runpytest()
    result.assert_outcomes(failed=1, xfailed=4)
    result.stdout.fnmatch_lines(["FAILED *::test_hidden*"])


def test_tests_of_other_things_keep_their_marks(nowhere):
    nowhere.makepyfile(
        test_it="""
        import pytest

        @pytest.fixture
        def broken():
            raise OSError("not ours")

        @pytest.mark.xfail(reason="theirs")
        def test_other(broken):
            pass
        """
    )
    nowhere.runpytest("test_it.py").assert_outcomes(xfailed=1)


def test_errors_stay_in_the_reports(nowhere):
    import json

    nowhere.runpytest("--robustcheck-images=nowhere", "--robustcheck-json=run.json", "--junitxml=j.xml")
    troubles = json.loads((nowhere.path / "run.json").read_text())["troubles"]
    assert len(troubles) == 4
    text = (nowhere.path / "j.xml").read_text()
    assert text.count("not evaluated, see") >= 3
    assert 'errors="4"' in text


@pytest.mark.parametrize(
    ("fixture", "scope"), [("model", "function"), ("images", "class"), ("classifier", "function")]
)
def test_a_fixture_of_too_narrow_a_scope_is_told_which_to_have(repository, fixture, scope):
    own = f"""
        import pytest

        @pytest.fixture(scope="{scope}")
        def robustcheck_{fixture}(robustcheck_{fixture}):
            return robustcheck_{fixture}

        def test_one(robustness):
            assert robustness["x"].accuracy >= 0.5

        @pytest.mark.xfail
        def test_two(robustness):
            assert robustness["x"].accuracy >= 0.99
    """
    repository.makepyfile(own)
    (repository.path / "robustcheck.toml").write_text('[claims]\nclean = "accuracy(x) >= 10%"\n')
    result = repository.runpytest()
    result.assert_outcomes(passed=1, errors=2)
    first = f"robustcheck: the fixture robustcheck_{fixture} must have scope session, *, got {scope} scope: *"
    lines = ['    @pytest.fixture(scope="session")', f"    def robustcheck_{fixture}():", "        ..."]
    result.stdout.fnmatch_lines([first, *(f"{line}*" for line in lines)], consecutive=True)
    assert "ScopeMismatch" not in result.stdout.str()


def test_other_fixtures_of_too_narrow_a_scope_are_pytests_to_explain(repository):
    repository.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="session")
        def robustcheck_images(tmp_path):
            return tmp_path

        def test_it(robustness):
            assert robustness["x"].accuracy >= 0.5
        """
    )
    result = repository.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ScopeMismatch: *function scoped fixture tmp_path *"])
