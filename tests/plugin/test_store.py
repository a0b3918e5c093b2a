"""`--robustcheck-store` and `--robustcheck-refresh`: what a second pytest run takes from the first."""

import json
import re

import pytest

TESTS = """
import pytest

def test_one(robustness):
    assert robustness["Adv_20"].accuracy <= 0.5 * robustness["x"].accuracy

def test_two(robustness):
    assert robustness["JPG_5(Adv_20)"].accuracy <= 0.99

@pytest.fixture(autouse=True, scope="module")
def count(robustcheck_classifier):
    seen = []
    robustcheck_classifier.module.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    yield
    print("IMAGES", sum(seen))
"""

PRECISION, KEY, CHECK = 2, 4, 2
"""Images of noise that show a network's precision, and what its forward pass writes; one of the shard, beside a copy."""


def images_seen(result):
    return int(re.search(r"IMAGES (\d+)", result.stdout.str())[1])


def table(result):
    return [line for line in result.outlines if re.match(r"(x|Adv|JPG)\S* .*%", line)]


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["serial", "xdist"])
def test_a_second_run_takes_the_records_of_the_first_and_says_so(repository, workers):
    repository.makepyfile(TESTS)
    cold = repository.runpytest("-s", "--robustcheck-save=a", *workers)
    warm = repository.runpytest("-s", "--robustcheck-save=b", "--robustcheck-json=run.json", *workers)
    for result in (cold, warm):
        result.assert_outcomes(passed=2)
    assert table(warm) == table(cold)
    warm.stdout.fnmatch_lines(["records: 120 of 120 from the store, computed 20*UTC"])
    assert "from the store" not in cold.stdout.str()
    saved = repository.path / ".robustcheck"
    one, other = (next(repository.path.rglob(f"{name}.csv")) for name in "ab")
    about = re.compile(r'""saved"": {.*?}')  # date and command
    assert about.sub("", one.read_text()) == about.sub("", other.read_text()), saved
    session = json.loads((repository.path / "run.json").read_text())["session"]
    assert re.match(r"\d+ of \d+ from the store, computed", session["records"])


def test_what_is_computed_cold_warm_refreshed_and_off(repository):
    repository.makepyfile(TESTS)
    seen = [
        images_seen(repository.runpytest("-s", *options))
        for options in ([], [], ["--robustcheck-refresh"], [], ["--robustcheck-store=off"])
    ]
    assert seen[0] > 3 * 40
    assert seen == [seen[0], PRECISION + KEY + CHECK, seen[0], PRECISION + KEY + CHECK, seen[0] - KEY - CHECK]


def test_a_folder_of_one_s_own_and_none_without_the_cache(repository):
    repository.makepyfile(TESTS)
    repository.runpytest("--robustcheck-store=kept", "-p", "no:cacheprovider").assert_outcomes(passed=2)
    assert list((repository.path / "kept").rglob("*.parquet"))
    assert not (repository.path / ".pytest_cache").exists()
    repository.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=2)
    assert not (repository.path / ".pytest_cache").exists()


def test_ini_key_is_meant_from_the_ini_file_and_off_is_no_folder(repository):
    repository.makepyfile(TESTS)
    for value, there in (("off", False), ("kept", True)):
        repository.makeini(f"[pytest]\nrobustcheck_store = {value}")
        repository.runpytest().assert_outcomes(passed=2)
        assert (repository.path / value).is_dir() is there
        assert not (repository.path / ".pytest_cache" / "d" / "robustcheck").exists()


def test_without_pyarrow_a_line_says_so_and_a_folder_is_an_error(repository, uninstall):
    uninstall("pyarrow")
    repository.makepyfile(TESTS)
    result = repository.runpytest()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["records are not kept for the next run: *pip install*parquet*"])
    asked = repository.runpytest("--robustcheck-store=kept")
    assert asked.ret == pytest.ExitCode.USAGE_ERROR
    asked.stderr.fnmatch_lines(["*pip install 'pytest-robustcheck[[]parquet]'*"])


def test_a_second_evaluation_is_kept_as_a_second_one(repository):
    """The study's own check that the table is the same twice: warm, both evaluations are the ones of the cold run."""
    repository.makepyfile(
        TESTS
        + """
def test_twice(robustness):
    once = robustness.evaluate("Noise_3")
    again = robustness.evaluate_again("Noise_3", count=8)
    seen = again.seen("x")
    assert seen.sum() == 8
    assert (once.column("p_top", "Noise_3")[seen] == again.column("p_top", "Noise_3")[seen]).all()
"""
    )
    cold, warm = (images_seen(repository.runpytest("-s")) for _ in range(2))
    assert cold > 4 * 40 + 2 * 8
    assert warm == 2 * (PRECISION + KEY) + CHECK  # of the one shard, once for both


def test_the_store_is_kept_to_its_limit_and_that_is_said(repository):
    repository.makepyfile(TESTS)
    result = repository.runpytest("--robustcheck-store=kept", "--robustcheck-store-limit=1K")
    result.stdout.fnmatch_lines(["the record store is limited to 1 kB: removed 1 blocks, * kB"])
    assert not list((repository.path / "kept").rglob("*.parquet"))
    wrong = repository.runpytest("--robustcheck-store-limit=1000")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["*K, M, G or T, such as 500M*"])


def test_nothing_is_kept_without_a_cache_folder(red_and_green, pytester):
    before = {path.name for path in pytester.path.iterdir()}
    pytester.runpytest(red_and_green, "-p", "no:cacheprovider").assert_outcomes(passed=1)
    assert {path.name for path in pytester.path.iterdir()} - before <= {"__pycache__", ".benchmarks"}
