"""`--robustcheck-cache-dir`: a second run decodes nothing, and everything else is as it was."""

import re

import pytest


@pytest.fixture
def folder(red_and_green):
    return red_and_green


def told(result):
    """The line of the cache, and what else the run says, without its times."""
    (line,) = [line for line in result.outlines if line.startswith("pixel cache")]
    table = [each for each in result.outlines if each.startswith(("x ", "Adv_1 ", "images "))]
    return line, table


def test_a_second_run_decodes_nothing_and_says_the_same(pytester, folder):
    cache = "--robustcheck-cache-dir=kept"
    first = pytester.runpytest(folder, cache)
    second = pytester.runpytest(folder, cache)
    for result in (first, second):
        result.assert_outcomes(passed=1)
    assert told(first)[0].endswith("6 decoded")
    assert re.fullmatch(r"pixel cache kept: [1-9]\d* images read from it, 0 decoded", told(second)[0])
    assert told(first)[1] == told(second)[1]
    plain = pytester.runpytest(folder)
    assert [line for line in plain.outlines if line in told(first)[1]] == told(first)[1]


def test_nothing_is_kept_unasked(pytester, folder):
    before = {path.name for path in pytester.path.iterdir()}
    result = pytester.runpytest(folder, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert {path.name for path in pytester.path.iterdir()} - before <= {"__pycache__", ".benchmarks"}
    assert "pixel cache" not in result.stdout.str()


def test_an_ini_key_is_meant_from_the_ini_file_and_can_be_put_off(pytester, folder):
    pytester.makeini("[pytest]\nrobustcheck_cache_dir = kept\nrobustcheck_cache_size = 1G\n")
    (pytester.path / "inner").mkdir()
    put_off = pytester.runpytest(folder, "--robustcheck-cache-dir=off")
    put_off.assert_outcomes(passed=1)
    assert not (pytester.path / "kept").exists()
    pytester.runpytest(folder).assert_outcomes(passed=1)
    assert list((pytester.path / "kept").glob("pixels/16x16-*/*.shard"))


def test_workers_share_it_and_are_counted_together(pytester, folder):
    pytester.runpytest(folder, "--robustcheck-cache-dir=kept").assert_outcomes(passed=1)
    pytester.makepyfile(test_other=(pytester.path / "test_colours.py").read_text())
    result = pytester.runpytest(folder, "--robustcheck-cache-dir=kept", "-n2", "--dist=loadfile")
    result.assert_outcomes(passed=2)
    assert re.search(r": [1-9]\d* images read from it, 0 decoded$", told(result)[0])


def test_images_of_a_fixture_that_come_from_files_are_kept(pytester, folder):
    pytester.makeconftest(
        """
        import pytest, robustcheck

        @pytest.fixture(scope="session")
        def robustcheck_images():
            return robustcheck.open_images("set", size=16)
        """
    )
    pytester.runpytest("--robustcheck-cache-dir=kept").assert_outcomes(passed=1)
    result = pytester.runpytest("--robustcheck-cache-dir=kept", "--robustcheck-cache-verify")
    assert told(result)[0].endswith(" 0 decoded")


def test_a_folder_that_cannot_be_made_is_told_plainly(pytester, folder):
    (pytester.path / "file").write_text("")
    result = pytester.runpytest(folder, "--robustcheck-cache-dir=file")
    result.assert_outcomes(errors=1)
    text = " ".join(line.removeprefix("E").strip() for line in result.outlines)
    assert "can't be made: Not a directory; name another: --robustcheck-cache-dir=DIR" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("size", ["20", "15M", "many", "-1G", "5 apples"])
def test_a_size_that_is_none_is_a_usage_error(pytester, size):
    result = pytester.runpytest(f"--robustcheck-cache-size={size}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --robustcheck-cache-size={size}: it is a size from 16M up, such as 500M or 20G"]
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [("16M", 16 * 10**6), ("1.5g", 1_500_000_000), ("20GiB", 20 * 2**30), ("2 TB", 2 * 10**12)],
)
def test_sizes_are_read(text, size):
    from robustcheck.options.table import OPTIONS

    (option,) = [option for option in OPTIONS if option.name == "cache-size"]
    assert option.read(text) == size
