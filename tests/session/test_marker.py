"""The marker `robustness`: it selects tests, and gives one its own settings."""

import pytest

TESTS = """
import pytest

def test_gate(robustness):
    assert robustness["x"].accuracy >= 0.5

def test_attack(fgs):
    pass

def test_other():
    pass
"""


@pytest.fixture
def marked(repository):
    repository.makepyfile(test_it=TESTS)
    (repository.path / "robustcheck.toml").write_text('[claims]\nclean = "accuracy(x) >= 10%"\n')
    return repository


def test_it_is_on_every_test_that_uses_our_fixtures(marked):
    marked.runpytest("-m", "not robustness", "--strict-markers").assert_outcomes(passed=1, deselected=3)
    marked.runpytest("-m", "robustness", "--strict-markers").assert_outcomes(passed=3, deselected=1)
    marked.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.robustness(views=*"])


def test_images_of_its_own(red_and_green, pytester):
    from PIL import Image

    (pytester.path / "one").mkdir()
    Image.new("RGB", (20, 20), (200, 20, 0)).save(pytester.path / "one" / "a.png")
    path = pytester.path / "test_colours.py"
    path.write_text(
        path.read_text()
        + """
@pytest.mark.robustness(images="one")
def test_one(robustness):
    assert len(robustness.images) == 1
    assert robustness["x"].kept >= 0.9

def test_all(robustness):
    assert len(robustness.images) == 6
"""
    )
    result = pytester.runpytest(red_and_green, "-v", "-Wdefault")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines_random(["test_colours.py::test_one*", "test_colours.py::test_all PASSED*"])


def test_alpha_of_its_own(repository):
    repository.makepyfile(
        """
        import pytest

        @pytest.mark.robustness(alpha=0.001)
        def test_strict(robustness):
            assert robustness["x"].accuracy >= 0.3

        def test_as_the_run(robustness):
            assert robustness["x"].accuracy >= 0.3
        """
    )
    import json

    repository.runpytest(
        "--robustcheck-stop-early", "--robustcheck-alpha=0.2", "--robustcheck-json=run.json"
    ).assert_outcomes(passed=2)
    claims = json.loads((repository.path / "run.json").read_text())["claims"]
    assert [claim["alpha"] for claim in claims] == [0.001, 0.2]
    assert claims[0]["seen"] >= claims[1]["seen"]


def test_views_are_planned_with_those_of_other_tests(repository):
    repository.makepyfile(
        """
        import pytest

        VIEW = "Adv_" + str(3)

        def test_first(robustness):
            assert robustness["x"].accuracy >= 0.3
            assert "JPG(Adv_3)" in map(str, robustness.records.views)

        @pytest.mark.robustness(views=["JPG(Adv_3)"])
        def test_second(robustness):
            assert robustness[f"JPG({VIEW})"].accuracy >= 0
        """
    )
    result = repository.runpytest()
    assert "Adv_3 " in result.stdout.str()
    result.stdout.no_fnmatch_line("*no such view*")
    assert result.parseoutcomes()["passed"] >= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("view=['x']", "unknown setting 'view': did you mean 'views'? Allowed: alpha, images, views"),
        ("views='x'", "views must be a list of texts such as 'JPG(Adv_1)', got 'x'"),
        ("views=[1]", "views must be a list of texts *"),
        ("views=['JPEG(x)']", "*JPEG*"),
        ("alpha='a'", "alpha must be a number between 0 and 1, got 'a'"),
        ("alpha=1", "alpha must be a number between 0 and 1*"),
        ("alpha=True", "alpha must be a number between 0 and 1, got True"),
        ("images=''", "images must be a spec or an ImageSet, got ''"),
        ("images=5", "images must be a spec or an ImageSet, got 5"),
        ("images=False", "images must be a spec or an ImageSet, got False"),
        ("images=b'set'", "images must be a spec or an ImageSet, got b'set'"),
        ("images={'cat.png'}", "images must be a spec or an ImageSet, got {'cat.png'}"),
        ("alpha=float('nan')", "alpha must be a number between 0 and 1, such as 0.05, got 'nan'"),
        ("views={'x'}", "views must be a list of texts such as 'JPG(Adv_1)', got {'x'}"),
        ("'Adv_1'", "takes its settings by name (views, images, alpha), got 'Adv_1'"),
    ],
)
def test_what_it_does_not_take_is_a_usage_error(repository, settings, message):
    repository.makepyfile(
        test_it=f"""
        import pytest

        @pytest.mark.robustness({settings})
        def test_it(robustness):
            pass
        """
    )
    result = repository.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: test_it.py::test_it: @pytest.mark.robustness: {message}"])
