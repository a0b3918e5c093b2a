"""Clocks, memory, and the facts of devices."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from robustcheck.benchmark import nvidia
from robustcheck.benchmark import timer as timing
from robustcheck.benchmark.device import facts_of, in_words, is_same, machine
from robustcheck.benchmark.memory import peak_memory
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
    assert timing.calls_a_round(clock.takes(seconds), clock) == pytest.approx(calls, rel=0.02)


def test_a_call_that_takes_no_time_ends_the_search():
    clock = Clock()
    assert timing.calls_a_round(clock.takes(0), clock) == 100_000


def test_nobody_watches_a_timed_call():
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
        with timing.unwatched():
            watched()
        watched()
    finally:
        sys.settrace(before)
    assert seen == ["watched"] * 2


PEAK = """
import torch
from robustcheck.benchmark.memory import peak_memory

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
    facts = facts_of(CPU)
    assert facts["type"] == "cpu"
    assert facts["threads"] == torch.get_num_threads()
    assert in_words(facts).startswith(f"cpu ({facts['name']}, {torch.get_num_threads()} thread")


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
    assert is_same(here, here | change) is same


def test_reference_work_takes_time():
    assert reference_seconds(CPU) > 0


SMI = """#!/bin/sh
echo "$@" > {asked}
echo "GPU-1f, NVIDIA H100 80GB HBM3, 580.65.06, 81559, P0, 1980, 2619, 700.00, 31"
echo "GPU-2a, NVIDIA A10G, 580.65.06, 23028, P8, 210, [N/A], [Not Supported], 27"
"""


@pytest.fixture
def no_nvml(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)


@pytest.fixture
def smi(tmp_path, monkeypatch, no_nvml):
    script = tmp_path / "nvidia-smi"
    script.write_text(SMI.format(asked=tmp_path / "asked"))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_nvidia_smi_is_asked_where_nvml_is_not_installed(smi):
    h100, a10g = nvidia.gpus()
    assert h100 == {
        "uuid": "GPU-1f",
        "name": "NVIDIA H100 80GB HBM3",
        "driver": "580.65.06",
        "memory_mib": 81559,
        "power_state": "P0",
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 2619,
        "power_limit_w": 700.0,
        "temperature_c": 31,
    }
    assert a10g["power_state"] == "P8"
    assert not {"memory_clock_mhz", "power_limit_w"} & a10g.keys()
    assert "--format=csv,noheader,nounits" in (smi / "asked").read_text()


def test_machine_info_holds_what_lasts(smi):
    found = machine()
    assert found["gpus"][0] == {"name": "NVIDIA H100 80GB HBM3", "driver": "580.65.06", "memory_mib": 81559}
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert found == machine()


def test_a_driver_that_fails_is_no_driver(smi):
    (smi / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    assert nvidia.gpus() == []


def test_no_driver_no_facts(monkeypatch, no_nvml, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia.gpus() == []


def test_nvml_is_asked_where_it_is_installed_and_left_out_what_a_device_does_not_tell(monkeypatch):
    class NVMLError(Exception):
        pass

    def refuse(_device):
        raise NVMLError

    shut = []
    fake = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: shut.append(1),
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda _: "GPU-1f",
        nvmlDeviceGetName=lambda _: b"NVIDIA H100",
        nvmlSystemGetDriverVersion=lambda: "580",
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=80 * 2**30),
        nvmlDeviceGetPerformanceState=lambda _: 0,
        nvmlDeviceGetClockInfo=lambda _, which: 1980 if which == 1 else refuse(_),
        nvmlDeviceGetEnforcedPowerLimit=lambda _: 700_000,
        nvmlDeviceGetTemperature=lambda _, which: 31 + which,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    assert nvidia.gpus() == [
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
    assert shut == [1]
