"""Options, ini keys, and the errors of a command line."""

import pytest


def test_help_lists_every_option_of_the_interface(pytester):
    result = pytester.runpytest("--help")
    for name in [
        "model",
        "weights",
        "images",
        "bad-images",
        "limit",
        "stratify",
        "batch-size",
        "device",
        "seed",
        "suite",
        "findings",
        "stop-early",
        "alpha",
        "budget",
    ]:
        assert f"--robustcheck-{name}" in result.stdout.str()
        assert f"robustcheck_{name.replace('-', '_')}" in result.stdout.str()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--robustcheck-limit=0", "--robustcheck-limit: must be an integer >= 1, got '0'"),
        ("--robustcheck-limit=many", "*limit: must be an integer >= 1, got 'many'"),
        ("--robustcheck-batch-size=-3", "*batch-size: must be an integer >= 1, or auto, got '-3'"),
        ("--robustcheck-store-limit=5 apples", "*store-limit: must be a size *, got '5 apples'"),
        ("--robustcheck-store-limit=-1G", "*store-limit: must be a size *, got '-1G'"),
        ("--robustcheck-alpha=5", "*alpha: must be a number between 0 and 1, such as 0.05, got '5'"),
        (
            "--robustcheck-suite=jpg-study",
            "*suite: unknown value 'jpg-study': did you mean 'jpeg-study'?*",
        ),
        ("--robustcheck-findings=fail", "*findings: unknown value 'fail'*Allowed: gate, report"),
    ],
)
def test_value_that_is_not_allowed_is_a_usage_error(pytester, option, message):
    result = pytester.runpytest(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert "Traceback" not in result.stderr.str()


@pytest.mark.parametrize(
    ("given", "meant"), [("--robustcheck-modle=x", "model"), ("--robustcheck-bad-image=skip", "bad-images")]
)
def test_option_that_is_misspelt_is_told_which_is_meant(pytester, given, meant):
    result = pytester.runpytest(given)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    name = given.partition("=")[0]
    result.stderr.fnmatch_lines(
        [f"ERROR: unknown option '{name}': did you mean '--robustcheck-{meant}'? Allowed: *"]
    )


def test_ini_key_that_is_misspelt_is_told_which_is_meant(pytester):
    pytester.makeini("[pytest]\nrobustcheck_sede = 3")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: unknown option 'robustcheck_sede': did you mean 'robustcheck_seed'?*"]
    )


def test_ini_keys_serve_as_options_and_their_errors_name_them(pytester):
    pytester.makeini("[pytest]\nrobustcheck_limit = none")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: robustcheck_limit: must be an integer >= 1, got 'none'"])


def test_command_line_goes_before_ini(repository):
    repository.makeini("[pytest]\nrobustcheck_seed = 3\nrobustcheck_batch_size = 7")
    repository.makepyfile("def test_it(robustness):\n    assert robustness['Noise_5'].kept > 0.01")
    repository.runpytest().stdout.fnmatch_lines(["run * seed 3, *"])
    repository.runpytest("--robustcheck-seed=4").stdout.fnmatch_lines(["run * seed 4, *"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--robustcheck-model=resnet5O"], "unknown model 'resnet5O': did you mean 'resnet50'?*"),
        (["--robustcheck-model=no_such_package:build"], "*no_such_package*"),
        (["--robustcheck-model=resnet18", "--robustcheck-weights=nowhere.pt"], "*nowhere.pt*"),
        (["--robustcheck-model=sample", "--robustcheck-images=nowhere"], "*nowhere*"),
        (["--robustcheck-model=sample", "--robustcheck-images=empty"], "*empty*"),
        (["--robustcheck-model=sample", "--robustcheck-device=gpu"], "*gpu*"),
    ],
)
def test_what_cannot_be_had_is_said_once(pytester, arguments, message):
    if "--robustcheck-model=sample" in arguments:
        pytest.importorskip("timm")
    pytester.mkdir("empty")
    pytester.makepyfile(
        """
        def test_one(robustness):
            assert robustness["x"].kept > 0

        def test_two(robustness):
            assert robustness["x"].kept > 0

        def test_unrelated():
            pass
        """
    )
    result = pytester.runpytest(*arguments)
    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines([f"robustcheck: {message}"])
    assert "Traceback" not in result.stdout.str()
    assert "During handling" not in result.stdout.str()
    assert "/robustcheck/" not in result.stdout.str().split("short test summary")[0]


def test_own_fixture_that_returns_no_model_is_told_what_to_write(pytester):
    pytester.makepyfile(
        """
        import pytest, torch

        @pytest.fixture(scope="session")
        def robustcheck_model():
            return torch.nn.Linear(2, 2)

        def test_it(robustness):
            pass
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["robustcheck: robustcheck_model must be a network *, got a Linear*", "*Classifier(net, mean=*"]
    )


def test_a_model_that_cannot_be_had_keeps_no_other_from_running(repository):
    """The options' model is out of reach at the top; a folder below brings its own."""
    conftest = (repository.path / "conftest.py").read_text()
    (repository.path / "conftest.py").unlink()
    folder = repository.mkdir("own")
    (folder / "conftest.py").write_text(conftest)
    test = "def test_it(robustness):\n    assert robustness['Noise_1'].kept >= 0.1\n"
    (folder / "test_own.py").write_text(test)
    (repository.path / "test_a.py").write_text(test)
    (repository.path / "test_b.py").write_text(test)
    repository.makeini("[pytest]\nrobustcheck_model = resnet5O")
    repository.runpytest().assert_outcomes(passed=1, errors=2)


@pytest.mark.parametrize("option", ["model=resnet50", "weights=nowhere.pt", "images=nowhere"])
def test_option_that_a_fixture_takes_the_place_of_is_an_error(repository, option):
    repository.makepyfile("def test_it(robustness):\n    assert robustness['Noise_1'].kept >= 0.1")
    result = repository.runpytest(f"--robustcheck-{option}")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [f"robustcheck: --robustcheck-{option.split('=')[0]} would have no effect: the fixture *"]
    )


@pytest.mark.parametrize("name", ["model", "images", "seed"])
def test_empty_option_is_an_error(pytester, name):
    result = pytester.runpytest(f"--robustcheck-{name}=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --robustcheck-{name} is empty: give a value, or leave it out"])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "the fixture robustcheck_images must be *a torch Dataset*, got *None*"),
        (
            "[1, 2]",
            "the fixture robustcheck_images[[]0] must * PIL image, *array *tensor*",
        ),
        ("[]", "the fixture robustcheck_images must hold at least one image, got an empty list"),
        (
            "iter(())",
            "the fixture robustcheck_images must hold at least one image, got an exhausted *iterator*",
        ),
    ],
)
def test_fixture_that_returns_no_images_is_told_what_to_return(repository, returned, message):
    repository.makepyfile(
        f"""
        import pytest

        @pytest.fixture(scope="session")
        def robustcheck_images():
            return {returned}

        def test_it(robustness):
            pass
        """
    )
    result = repository.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*robustcheck: {message}"])


def test_path_in_the_ini_file_is_meant_from_there(repository, monkeypatch):
    from PIL import Image

    Image.new("RGB", (20, 20)).save(repository.mkdir("pictures") / "one.png")
    conftest = repository.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().split('@pytest.fixture(scope="session")\ndef robustcheck_images')[0]
    )
    repository.makeini("[pytest]\nrobustcheck_images = pictures")
    folder = repository.mkdir("tests")
    (folder / "test_it.py").write_text("def test_it(robustness):\n    assert len(robustness.images) == 1\n")
    monkeypatch.chdir(folder)
    repository.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('robustcheck_images = ["data"]', "robustcheck_images: must be a text or a number, got ['data']"),
        ("robustcheck_limit = 0", "robustcheck_limit: must be an integer >= 1, got '0'"),
        ("robustcheck_limit = true", "robustcheck_limit: must be a text or a number, got True"),
        ("robustcheck_stratify = 1", "robustcheck_stratify: must be true or false, got 1"),
        (
            'robustcheck_stratify = "true"',
            "robustcheck_stratify: must be true or false, got 'true': write it without quotes",
        ),
        ("robustcheck_alpha = [0.1]", "robustcheck_alpha: must be a text or a number, got *"),
        (
            "robustcheck_input_limits = [1]",
            "robustcheck_input_limits: must be a text or a list of texts, got *",
        ),
    ],
)
@pytest.mark.skipif(pytest.version_tuple < (9,), reason="this pytest reads no native table")
def test_value_of_a_wrong_type_in_a_table_of_toml_is_a_usage_error(pytester, table, message):
    pytester.makepyprojecttoml(f"[tool.pytest]\n{table}\n")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="this pytest reads no native table")
def test_numbers_and_lists_of_a_native_table_are_taken(pytester):
    pytester.makepyprojecttoml(
        """
        [tool.pytest]
        robustcheck_limit = 5
        robustcheck_alpha = 0.5
        robustcheck_stratify = true
        robustcheck_input_limits = ["pixels:1000000"]
        """
    )
    pytester.makepyfile(
        """
        from robustcheck.session import KEY

        def test_it(pytestconfig):
            settings = pytestconfig.stash[KEY].settings
            assert (settings.limit, settings.alpha, settings.stratify) == (5, 0.5, True)
            assert settings.input_limits == {"pixels": 1000000}
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


@pytest.mark.filterwarnings("ignore:Passing a value that is not a string:DeprecationWarning")
def test_a_list_in_an_ini_table_is_a_usage_error(pytester):
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nrobustcheck_images = ["data"]\n')
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: robustcheck_images: must be a text or a number, got *"])
