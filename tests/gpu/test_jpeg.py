"""The round trip on a device: Pillow's pixels, no copy to the host, and little memory beside the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustcheck import jpeg
from robustcheck.errors import RobustcheckError
from robustcheck.jpeg import triton as kernels
from robustcheck.jpeg import verify

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CODECS = ["tensor", "triton"]
SUBSAMPLINGS = ["4:4:4", "4:2:2", "4:2:0"]


@pytest.fixture
def noise():
    def draw(n, height, width):
        generator = torch.Generator().manual_seed(n * height + width)
        return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator)

    return draw


@pytest.mark.parametrize("codec", CODECS)
def test_random_cases(codec):
    rng = np.random.default_rng(0)
    cases = [verify.random_case(rng) for _ in range(500)]
    assert sum(verify.differing_samples(case, codec, "cuda") for case in cases) == 0


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("size", [(223, 225), (224, 224), (375, 500)])
def test_a_batch_of_mixed_quality_in_any_layout(noise, codec, subsampling, size):
    images, quality = noise(9, *size), torch.arange(10, 100, 10)
    expected = jpeg.roundtrip(images, quality=quality, subsampling=subsampling, codec="pillow")
    on_device = images.cuda()
    for laid_out in (on_device, on_device.contiguous(memory_format=torch.channels_last)):
        for where in (quality, quality.cuda()):
            result = jpeg.roundtrip(laid_out, quality=where, subsampling=subsampling, codec=codec)
            assert result.device == on_device.device
            assert torch.equal(result.cpu(), expected)
    half = jpeg.roundtrip(on_device[:, :, 1:-3, ::2], quality=quality, subsampling=subsampling, codec=codec)
    sliced = jpeg.roundtrip(images[:, :, 1:-3, ::2], quality=quality, subsampling=subsampling, codec="pillow")
    assert torch.equal(half.cpu(), sliced)


@pytest.mark.parametrize("codec", CODECS)
def test_settings_of_torch_change_nothing(monkeypatch, noise, codec):
    images = noise(4, 64, 80)
    expected = jpeg.roundtrip(images, codec="pillow")
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    with torch.autocast("cuda"), torch.inference_mode():
        assert torch.equal(jpeg.roundtrip(images.cuda(), codec=codec).cpu(), expected)


def test_auto_takes_the_kernels(monkeypatch, noise):
    taken = []
    real = kernels.roundtrip
    monkeypatch.setattr(kernels, "roundtrip", lambda *a: (taken.append(True), real(*a))[1])
    jpeg.roundtrip(noise(1, 16, 16).cuda())
    assert taken


def extra_memory(call):
    """Bytes that `call` allocates at its peak beside its result."""
    call()  # compiles
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before - result.numel() * result.element_size()


def test_memory_beside_the_result(noise):
    images = noise(256, 224, 224).cuda()
    size = images.numel()
    assert extra_memory(lambda: jpeg.roundtrip(images, codec="triton")) <= size
    assert extra_memory(lambda: jpeg.roundtrip(images, codec="tensor")) <= 6 * size


def test_the_gradient_is_that_of_the_cpu(noise):
    images = noise(3, 45, 70).float()
    gradients = []
    for device in ("cpu", "cuda"):
        levels = images.to(device, torch.float64).requires_grad_()
        result = jpeg.differentiable(levels, quality=torch.tensor([20, 60, 95]), rounding="cubic")
        assert torch.equal(
            result.detach().cpu(), jpeg.differentiable(images.double(), quality=torch.tensor([20, 60, 95]))
        )
        result.square().sum().backward()
        gradients.append(levels.grad.cpu())
    assert torch.allclose(*gradients, rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_device_that_is_not_the_current_one(noise):
    images = noise(2, 40, 40)
    result = jpeg.roundtrip(images.to("cuda:1"), codec="triton")
    assert torch.equal(result.cpu(), jpeg.roundtrip(images))


def test_the_kernels_refuse_tensors_of_the_cpu(noise):
    with pytest.raises(RobustcheckError, match="the images are on cpu"):
        jpeg.roundtrip(noise(1, 8, 8), codec="triton")
