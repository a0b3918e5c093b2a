"""Mistakes in the fixture's arguments: refused at the call, before anything is measured."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from robustcheck.benchmark.arguments import (
    checked_call,
    checked_count,
    checked_images,
    checked_result,
    checked_views,
)
from robustcheck.errors import RobustcheckError

BATCH = torch.zeros(8, 3, 4, 4, dtype=torch.uint8)


def generator():
    yield 1


async def coroutine():
    return 1


async def async_generator():
    yield 1


class Awaited:
    async def __call__(self):
        return 1


@pytest.mark.parametrize(
    "function", [generator, coroutine, async_generator, Awaited(), partial(coroutine), partial(generator)]
)
def test_function_whose_call_does_nothing_yet_is_refused(function):
    with pytest.raises(RobustcheckError, match="ours must do its work when it is called"):
        checked_call("ours", function)


@pytest.mark.parametrize("function", [generator, coroutine, async_generator])
def test_result_that_is_work_still_to_be_done_is_refused(function):
    with pytest.raises(RobustcheckError, match="theirs must do its work when it is called"):
        checked_result("theirs", function())
    assert checked_result("theirs", [1]) == [1]


@pytest.mark.parametrize("views", [None, 3])
def test_views_that_are_no_list_are_refused(views):
    with pytest.raises(RobustcheckError, match=r"views must be a list of views, such as \['x', 'Adv_1'\]"):
        checked_views(views)


@pytest.mark.parametrize("value", [8, np.int64(8), np.uint8(8), np.array(8), torch.tensor(8)])
def test_counts_may_be_numpy_s(value):
    found = checked_images(value)
    assert found == 8
    assert type(found) is int


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (BATCH, r"\(images=len\(batch\), 8 here\), got Tensor of shape \(8, 3, 4, 4\)"),
        (BATCH.numpy(), r"8 here\), got ndarray of shape \(8, 3, 4, 4\)"),
        ([1, 2, 3], r"3 here\), got a list"),
        (torch.tensor([8]), "1 here"),
        (torch.tensor(8.0), "got "),
        (0, "got 0"),
        (-8, "got -8"),
        (8.0, "got 8.0"),
        (float("nan"), "got nan"),
        ("8", "got '8'"),
        (True, "got True"),
        (len, "got a builtin_function_or_method"),
    ],
)
def test_what_is_no_count_of_images(value, got):
    with pytest.raises(
        RobustcheckError, match=f"^images must be an integer >= 1, the number of images per call.*{got}"
    ):
        checked_images(value)


@pytest.mark.parametrize("value", [0, -1, 2.5, "3", None, True])
def test_what_is_no_number_of_rounds(value):
    with pytest.raises(RobustcheckError, match=r"^rounds must be an integer >= 1, got"):
        checked_count("rounds", value)


def test_views_are_a_list():
    assert [*map(str, checked_views(["JPG(Adv_1)", "x"]))] == ["JPG(Adv_1)", "x"]
    with pytest.raises(RobustcheckError, match=r"write \['JPG\(Adv_1\)'\]"):
        checked_views("JPG(Adv_1)")
    with pytest.raises(RobustcheckError, match="at least one view"):
        checked_views([])


def test_a_result_is_no_function():
    assert checked_call("ours", len) is len
    with pytest.raises(RobustcheckError, match=r"^ours must be a function, got Tensor of shape .* a lambda"):
        checked_call("ours", BATCH)


SLIPS = """
import pytest
import torch

BATCH = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
CALLS = {
    "batch": lambda b: b(len, BATCH, images=BATCH),
    "minus": lambda b: b.ratio(int, int, images=-8),
    "pedantic": lambda b: b.pedantic(len, (BATCH,), images="8"),
    "no images": lambda b: b.table(["x"], images=0),
    "letters": lambda b: b.table("JPG(Adv_1)", rounds=2),
    "no rounds": lambda b: b.table(["x"], rounds=0),
    "result": lambda b: b(len(BATCH)),
    "fail": lambda b: b(lambda: pytest.fail("own words")),
    "fail in ratio": lambda b: b.ratio(int, lambda: pytest.fail("own words")),
    "own error": lambda b: 1 / 0,
    "lambda of a generator": lambda b: b(lambda: (each for each in "ab")),
    "lambda of a generator in ratio": lambda b: b.ratio(int, lambda: (each for each in "ab")),
    "lambda of a generator, pedantic": lambda b: b.pedantic(lambda: (each for each in "ab")),
}


@pytest.mark.parametrize("call", CALLS)
def test_slip(robustcheck_benchmark, call):
    CALLS[call](robustcheck_benchmark)


def test_other():
    assert 1 + 1 == 3


def test_by_name_skipped(request):
    request.getfixturevalue("robustcheck_benchmark")
    pytest.skip("not here")
"""


@pytest.mark.slow
def test_a_mistake_is_its_test_s_alone_and_nothing_is_stored(repository):
    repository.makepyfile(SLIPS)
    path = repository.path / "out.json"
    result = repository.runpytest(f"--benchmark-json={path}")
    result.assert_outcomes(failed=14, skipped=1)
    lines = result.stdout.str()
    assert "not used at all" not in lines
    assert "robustcheck benchmarks" not in lines
    assert not path.exists() or '"name"' not in path.read_text()


@pytest.mark.slow
def test_extra_info_can_be_assigned(repository):
    repository.makepyfile("""
        def test_speed(robustcheck_benchmark):
            robustcheck_benchmark.extra_info["old"] = 1
            robustcheck_benchmark.extra_info = {"why": "nightly"}
            robustcheck_benchmark(int)
    """)
    path = repository.path / "out.json"
    repository.runpytest(f"--benchmark-json={path}", "--benchmark-max-time=0.001").assert_outcomes(passed=1)
    (entry,) = json.loads(path.read_text())["benchmarks"]
    assert entry["extra_info"]["why"] == "nightly"
    assert "old" not in entry["extra_info"]
