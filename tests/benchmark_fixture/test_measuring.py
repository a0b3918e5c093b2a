"""Clocks, memory, and the facts of devices."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from robustcheck.benchmark import timer as timing
from robustcheck.benchmark.device_facts import (
    describe,
    device_facts,
    is_same_device,
    machine_info,
    nvidia_gpus,
)
from robustcheck.benchmark.peak_memory import peak_memory
from robustcheck.benchmark.reference import reference_seconds

CPU = torch.device("cpu")
MIB = 2**20


def fake_torch(waited, *, initialised=True):
    used = {0: 4096, 1: 0, 2: 4096}
    return SimpleNamespace(
        cuda=SimpleNamespace(
            is_initialized=lambda: initialised,
            device_count=lambda: len(used),
            memory_reserved=used.get,
            synchronize=waited.append,
        )
    )


def test_clock_waits_for_the_devices_in_use_and_no_other(monkeypatch):
    waited = []
    monkeypatch.setitem(sys.modules, "torch", fake_torch(waited))
    assert timing.device_seconds() > 0
    assert waited == [0, 2]


def test_clock_sets_up_no_device_and_imports_no_torch(monkeypatch):
    waited = []
    monkeypatch.setitem(sys.modules, "torch", fake_torch(waited, initialised=False))
    timing.device_seconds()
    monkeypatch.delitem(sys.modules, "torch")
    assert timing.device_seconds() > 0
    assert waited == []
    assert "torch" not in sys.modules


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, seconds):
        def call():
            self.now += seconds

        return call


@pytest.mark.parametrize(("seconds", "calls"), [(1.0, 1), (0.005, 1), (0.001, 5), (1e-5, 500)])
def test_short_calls_are_timed_many_at_a_time(seconds, calls):
    clock = Clock()
    assert timing.calibrate(clock.takes(seconds), clock) == pytest.approx((calls, seconds), rel=0.02)


def test_a_call_that_takes_no_time_ends_the_search():
    clock = Clock()
    assert timing.calibrate(clock.takes(0), clock) == (100_000, 0)


def test_a_timed_call_is_not_traced():
    seen = []

    def watched():
        pass

    def tracer(frame, *_):
        if frame.f_code is watched.__code__:
            seen.append("watched")

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        watched()
        with timing.without_tracing():
            watched()
        watched()
    finally:
        sys.settrace(before)
    assert seen == ["watched"] * 2


PEAK = """
import torch
from robustcheck.benchmark.peak_memory import peak_memory

def call():
    held = torch.ones(64 * 2**20, dtype=torch.uint8)
    del held
    for _ in range(8):
        torch.ones(32 * 2**20, dtype=torch.uint8)

call()
print(peak_memory(call, torch.device("cpu")))
"""


def test_peak_memory_is_what_a_call_takes_at_once():
    """In a process of its own: in this one, other tests have left memory in pieces."""
    found = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout
    if found.strip() == "None":
        pytest.skip("this system does not tell how much a process has at its peak")
    assert 60 * MIB < int(found) < 90 * MIB


def test_memory_that_can_t_be_had_is_absent_and_the_call_is_made(tmp_path):
    called = []
    assert peak_memory(lambda: called.append(1), CPU, process=tmp_path / "gone") is None
    assert called == [1]


def test_cpu_is_named_with_its_threads():
    facts = device_facts(CPU)
    assert facts["type"] == "cpu"
    assert facts["threads"] == torch.get_num_threads()
    assert describe(facts).startswith(f"cpu ({facts['name']}, {torch.get_num_threads()} thread")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"load": 9}, True),
        ({"threads": 8}, False),
        ({"name": "other"}, False),
        ({"type": "cuda"}, False),
    ],
)
def test_what_makes_another_device(change, same):
    here = {"type": "cpu", "name": "AMD EPYC", "threads": 2, "load": 0.1}
    assert is_same_device(here, here | change) is same


def test_reference_work_takes_time():
    assert reference_seconds(CPU) > 0


class NVMLError(Exception):
    """That of pynvml."""


@pytest.fixture
def nvml(monkeypatch):
    """nvidia-ml-py on a machine with one device, which does not tell its memory clock."""

    def refuse():
        raise NVMLError

    fake = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        NVML_TEMPERATURE_GPU=0,
        open=0,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda _: "GPU-1f",
        nvmlDeviceGetName=lambda _: b"NVIDIA H100",
        nvmlSystemGetDriverVersion=lambda: "580",
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=80 * 2**30),
        nvmlDeviceGetPerformanceState=lambda _: 0,
        nvmlDeviceGetClockInfo=lambda _, which: 1980 if which == 1 else refuse(),
        nvmlDeviceGetEnforcedPowerLimit=lambda _: 700_000,
        nvmlDeviceGetTemperature=lambda _, which: 31 + which,
    )
    fake.nvmlInit = lambda: setattr(fake, "open", fake.open + 1)
    fake.nvmlShutdown = lambda: setattr(fake, "open", fake.open - 1)
    fake.refuse = refuse
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_facts_of_nvidia_devices_without_what_a_device_does_not_tell(nvml):
    assert nvidia_gpus() == [
        {
            "uuid": "GPU-1f",
            "name": "NVIDIA H100",
            "driver": "580",
            "memory_mib": 81920,
            "power_state": "P0",
            "sm_clock_mhz": 1980,
            "power_limit_w": 700.0,
            "temperature_c": 31,
        }
    ]
    assert nvml.open == 0


def test_machine_info_holds_what_lasts(nvml):
    found = machine_info()
    assert found["gpus"] == [{"name": "NVIDIA H100", "driver": "580", "memory_mib": 81920}]
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert found == machine_info()


def test_a_driver_that_fails_is_no_driver(nvml):
    nvml.nvmlInit = nvml.refuse
    assert nvidia_gpus() == []


def test_without_nvidia_ml_py_there_are_no_facts(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvidia_gpus() == []
    assert machine_info()["gpus"] == []
