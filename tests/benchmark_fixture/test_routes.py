"""However the fixture is reached, its timer waits for the device; options and pytest-benchmark's own interface count."""

import json

import pytest

pytestmark = pytest.mark.slow

ROUTES = """
import unittest

import pytest

pytestmark = pytest.mark.benchmark(max_time=0.001, min_rounds=2)


def work():
    pass


@pytest.fixture
def measure(robustcheck_benchmark):
    return robustcheck_benchmark


@pytest.fixture
def measure_late(request):
    return request.getfixturevalue("robustcheck_benchmark")


def test_argument(robustcheck_benchmark):
    robustcheck_benchmark(work)


def test_both(benchmark, robustcheck_benchmark):
    robustcheck_benchmark(work)


def test_by_name(request):
    request.getfixturevalue("robustcheck_benchmark")(work)


def test_ratio_by_name(request):
    request.getfixturevalue("robustcheck_benchmark").ratio(work, work, rounds=6)


def test_other_fixture(measure):
    measure(work)


def test_other_fixture_by_name(measure_late):
    measure_late(work)


@pytest.mark.usefixtures("robustcheck_benchmark")
def test_used(request):
    request.getfixturevalue("robustcheck_benchmark")(work)


class TestClass:
    @pytest.fixture(autouse=True)
    def _measure(self, robustcheck_benchmark):
        self.measure = robustcheck_benchmark

    def test_in_class(self):
        self.measure(work)


class TestUnit(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _measure(self, request):
        self.measure = request.getfixturevalue("robustcheck_benchmark")

    def test_in_unittest(self):
        self.measure(work)
"""


def run(repository, *arguments):
    """Run, and return the result and what pytest-benchmark stored, by test."""
    path = repository.path / "out.json"
    result = repository.runpytest(f"--benchmark-json={path}", *arguments)
    return result, {each["name"]: each for each in json.loads(path.read_text())["benchmarks"]}


@pytest.mark.parametrize(
    ("typed", "timer"), [([], "device_seconds"), (["--benchmark-timer", "time.perf_counter"], "perf_counter")]
)
def test_every_route_has_the_device_s_timer_or_the_typed_one(repository, typed, timer):
    repository.makepyfile(ROUTES)
    result, stored = run(repository, *typed)
    result.assert_outcomes(passed=9)
    assert {each["options"]["timer"] for each in stored.values()} == {timer}
    assert len(stored) == 9


def test_after_a_benchmark_with_another_timer_it_is_refused(repository):
    repository.makepyfile(
        """
        def test_it(benchmark, request):
            request.getfixturevalue("robustcheck_benchmark").ratio(int, int)
        """
    )
    result = repository.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *the fixture `benchmark` was requested before *"])
    assert "on cpu" not in result.stdout.str()


OFFERED = """
import pytest

pytestmark = pytest.mark.benchmark(max_time=0.001, min_rounds=2)

calls = []


def test_pedantic(robustcheck_benchmark):
    robustcheck_benchmark.group = "codecs"
    robustcheck_benchmark.extra_info["commit"] = "1f"
    found = robustcheck_benchmark.pedantic(
        lambda *numbers: calls.append(numbers) or sum(numbers), setup=lambda: ((1, 2), {}), rounds=4, images=8
    )
    assert found == 3
    assert calls == [(1, 2)] * 4
    assert len(robustcheck_benchmark.stats.stats.data) == 4


def test_not_offered(robustcheck_benchmark):
    robustcheck_benchmark.weave("json.dumps")


class TestOne:
    def test_twin(self, robustcheck_benchmark):
        robustcheck_benchmark(len, "a")


class TestTwo:
    def test_twin(self, robustcheck_benchmark):
        robustcheck_benchmark(len, "b")
        robustcheck_benchmark(len, "b")
"""


def test_what_users_of_pytest_benchmark_know_is_offered_or_named(repository):
    repository.makepyfile(test_it=OFFERED)
    result, stored = run(repository)
    result.assert_outcomes(passed=2, failed=2)
    pedantic = stored["test_pedantic"]
    assert pedantic["group"] == "codecs"
    assert pedantic["stats"]["rounds"] == 4
    assert pedantic["extra_info"]["commit"] == "1f"
    assert pedantic["extra_info"]["images"] == 8
    result.stdout.fnmatch_lines_random(
        [
            "E *AttributeError: robustcheck_benchmark has no 'weave', only attack, *pedantic*",
            "E *robustcheck_benchmark measures once per test*",
            "test_it.py::TestOne::test_twin *",  # two rows of one name show where they are
            "test_it.py::TestTwo::test_twin *",
        ]
    )


def test_names_and_quiet_are_pytest_benchmark_s(repository):
    repository.makepyfile(test_it=OFFERED)
    one = ("-k", "pedantic")
    repository.runpytest(*one, "--benchmark-name=long").stdout.fnmatch_lines(["test_it.py::test_pedantic *"])
    repository.runpytest(*one, "--benchmark-name=short").stdout.fnmatch_lines(["pedantic *"])
    quiet = repository.runpytest(*one, "--benchmark-quiet")
    quiet.assert_outcomes(passed=1, deselected=3)
    assert "benchmarks" not in quiet.stdout.str()
