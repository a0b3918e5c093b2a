"""The table of options, and what derives from it."""

import pytest

from robustcheck.errors import RobustcheckError
from robustcheck.options.table import OPTIONS, Settings, misspelt
from robustcheck.options.workers import WorkerOptions, parse_worker_options

TYPED = {
    "worker-options": "cpus:4",
    "store-limit": "20G",
    "stop-early": "",
    "alpha": "5e-2",
    "seed": "3",
    "images": "a folder",
}


def test_options_that_affect_results_are_kept_as_they_were_typed():
    settings = Settings(seed=3, alpha=0.05, stop_early=True, typed=TYPED)
    assert settings.arguments() == [
        "--robustcheck-images=a folder",
        "--robustcheck-seed=3",
        "--robustcheck-stop-early",
        "--robustcheck-alpha=5e-2",
    ]


def test_each_option_is_a_field_with_its_default():
    settings = Settings()
    for option in OPTIONS:
        value = getattr(settings, option.name.replace("-", "_"))
        if option.metavar is None:
            assert value is False
        else:
            assert value == (None if option.default is None else option.parse(option.default))
    assert (settings.seed, settings.alpha, settings.store_limit) == (0, 0.05, 10**9)


def test_settings_are_frozen():
    with pytest.raises(AttributeError):
        Settings().seed = 3


@pytest.mark.parametrize(
    ("arguments", "keys", "meant"),
    [
        (["-q", "--robustcheck-sede=3"], [], "--robustcheck-seed"),
        ([], ["robustcheck_sede"], "robustcheck_seed"),
    ],
)
def test_misspelt_names_get_a_suggestion(arguments, keys, meant):
    assert f"did you mean {meant!r}?" in misspelt(arguments, keys)


def test_names_that_are_right_or_none_of_ours_get_none():
    assert misspelt(["-q", "--robustcheck-seed=3", "--robust"], ["robustcheck_seed"]) is None


def test_worker_options():
    asked = parse_worker_options("cpus:2, gpus:0.5,count:3,images:pixels")
    assert asked == WorkerOptions(count=3, cpus=2, gpus=0.5, images="pixels")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpu:2", "did you mean 'cpus'"),
        ("cpus:0", "cpus: must be an integer >= 1, got '0'"),
        ("cpus", "cpus: must be an integer >= 1, got ''"),
        ("gpus:1.5", "gpus: must be 0, a fraction such as 0.5, or an integer, got '1.5'"),
        ("images:all", "paths, pixels"),
    ],
)
def test_worker_options_that_are_wrong(text, message):
    with pytest.raises(RobustcheckError, match=message):
        parse_worker_options(text)
