"""What can be held of the GPU without one: machine code of the kernels, and where a host would wait."""

from __future__ import annotations

import pytest
import torch

from tests.gpu import engine
from tests.gpu.device import host_waits

VIEWS = [*engine.TABLE[:2], "JPG_noise(Adv_1)", *engine.OTHERS]


@pytest.mark.parametrize("capability", [80, 90, 100])
def test_kernels_fit_registers_and_spill_nothing(capability):
    pytest.importorskip("triton")
    from tests.gpu import compiled

    gpu = next(gpu for gpu in compiled.GPUS if gpu.capability == capability)
    found = compiled.parts(capability)
    for part in found:
        assert part.spilled == 0, part
        assert part.registers <= 128, "four programs of 128 threads fit a multiprocessor's 65,536 registers"
        assert part.shared <= 8192, part
        assert sum(part.instructions.values()) > 500, "the disassembly was read"
    # The bound of the configuration in use may fall with a new Triton, but not by much.
    limits = compiled.bounds(gpu, found)
    assert min(limits.values()) > {80: 1.4e6, 90: 2.4e6, 100: 2.7e6}[capability], limits


@pytest.mark.parametrize(
    "read",
    [
        torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu, bool, int, float,
        torch.nonzero, lambda value: value[value > 0], lambda value: value.to("cpu"),
    ],
)  # fmt: skip
def test_reading_a_value_is_seen(read):
    value = torch.ones(1)
    with host_waits("cpu") as places:
        read(value)
    assert places


@pytest.mark.slow
def test_no_batch_makes_the_host_wait_but_for_its_results():
    assert not engine.waits_by_batches("cpu", VIEWS, size=32, batch_size=4, batches=(2, 4))
