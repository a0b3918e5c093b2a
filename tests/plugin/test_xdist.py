"""Under pytest-xdist the controller tells what the workers found."""

import pytest

pytest.importorskip("xdist")

TESTS = """
def test_one(robustness):
    assert robustness["Adv_20"].accuracy <= 0.5 * robustness["x"].accuracy

def test_two(robustness):
    assert robustness["JPG_5(Adv_20)"].accuracy >= 0.99

def test_three(robustness):
    assert robustness["Noise_1"].kept >= 0.5
"""


def section(result):
    lines = result.outlines
    start = next(index for index, line in enumerate(lines) if "= robustcheck =" in line)
    end = next(index for index, line in enumerate(lines) if index > start and line.startswith("===="))
    return lines[start + 1 : end]


def test_section_is_that_of_a_serial_run(repository):
    repository.makepyfile(TESTS)
    off = "--robustcheck-store=off"  # or the second would tell what it took from the first
    serial, parallel = repository.runpytest(off), repository.runpytest(off, "-n", "2")
    for result in (serial, parallel):
        result.assert_outcomes(passed=2, failed=1)
        assert any("worst images" in line for line in result.outlines)
    one, two = section(serial), section(parallel)
    assert sorted(one) == sorted(two)
    assert len([line for line in two if line.startswith("x ")]) == 1
