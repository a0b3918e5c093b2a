"""How workers of pytest-xdist share a machine."""

from pathlib import Path

import pytest
import torch

from robustcheck.session.xdist import THREADS, Worker


def worker(number=0, count=4):
    return Worker(number, count, Path("run"), 0.0)


@pytest.fixture
def gpus(monkeypatch):
    def have(count):
        monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: count)

    return have


@pytest.fixture
def threads(monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_several_gpus_are_taken_in_turn(gpus):
    gpus(3)
    assert [worker(number).device("auto") for number in range(5)] == [
        "cuda:0",
        "cuda:1",
        "cuda:2",
        "cuda:0",
        "cuda:1",
    ]


@pytest.mark.parametrize("count", [0, 1])
def test_one_gpu_or_none_is_for_all(gpus, count):
    gpus(count)
    assert worker(3).device("auto") == "auto"


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
def test_a_device_that_is_named_is_taken(gpus, device):
    gpus(3)
    assert worker(2).device(device) == device


@pytest.mark.parametrize(
    ("cores", "count", "before", "after"), [(8, 4, 8, 2), (2, 4, 2, 1), (8, 3, 8, 2), (8, 4, 1, 1)]
)
def test_each_worker_has_its_share_of_the_cores(threads, monkeypatch, cores, count, before, after):
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(cores)), raising=False)
    torch.set_num_threads(before)
    worker(count=count).share_cores()
    assert torch.get_num_threads() == after


def test_threads_that_the_environment_names_are_left(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    torch.set_num_threads(2)
    worker(count=64).share_cores()
    assert torch.get_num_threads() == 2
