"""The codecs against their peers, on the same batch in one run.

    pytest tests/benchmarks/test_jpeg.py -s

On the CPU each takes and gives uint8 (N, 3, H, W), Pillow's pool and torchvision.io with as many threads as
torch has; `pillow pool, interleaved` spares Pillow that and takes and gives a list of (H, W, 3) arrays. On a
CUDA device, where there is one, the batch is of 256 images and stays there. Every codec's pixels are compared
with Pillow's. At the end comes a table of images per second, by the fastest of the rounds, of the ratio to the
interleaved pool, and of the peak memory beside batch and result, over the size of the batch.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from robustcheck import jpeg

QUALITY = 75
SIZES = {"cifar": (256, 32), "imagenet": (32, 224)}  # images, side
REFERENCE = "pillow pool, interleaved"
ROWS = []


def photographs(n, side):
    """`n` cuts of four photographs, uint8 (n, 3, side, side)."""
    sources = [getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    cuts = []
    for index in range(n):
        pixels = sources[index % 4]
        top, left = (index * 7) % (pixels.shape[0] - side), (index * 11) % (pixels.shape[1] - side)
        cuts.append(pixels[top : top + side, left : left + side])
    return torch.from_numpy(np.stack(cuts)).permute(0, 3, 1, 2).contiguous()


def by_pillow(pixels):
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    file.seek(0)
    return np.asarray(Image.open(file))


def interleaved_pool(arrays):
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(by_pillow, arrays))


def pillow_pool(images):
    arrays = interleaved_pool([image.permute(1, 2, 0).numpy() for image in images])
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


def torchvision_io(images):
    from torchvision.io import decode_jpeg, encode_jpeg

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return torch.stack(list(pool.map(lambda image: decode_jpeg(encode_jpeg(image, QUALITY)), images)))


def torchvision_transform(images):
    from torchvision.transforms import v2

    transform = v2.JPEG((QUALITY, QUALITY))
    return torch.stack([transform(image) for image in images])


def kornia(images):
    enhance = pytest.importorskip("kornia.enhance", exc_type=ImportError)
    quality = torch.full((len(images),), float(QUALITY), device=images.device)
    return (enhance.jpeg_codec_differentiable(images.float() / 255, quality) * 255).round().to(torch.uint8)


def nvjpeg(images):
    from torchvision.io import decode_jpeg, encode_jpeg

    return torch.stack(decode_jpeg(encode_jpeg(list(images), QUALITY), device=images.device))


def codec(name):
    return lambda images: jpeg.roundtrip(images, quality=QUALITY, codec=name)


def gradient(images):
    levels = images.float().requires_grad_()
    jpeg.differentiable(levels, quality=QUALITY).sum().backward()
    return levels.detach()


ON_CPU = {
    REFERENCE: interleaved_pool,
    "pillow pool": pillow_pool,
    "torchvision.io": torchvision_io,
    "torchvision v2.JPEG": torchvision_transform,
    "kornia": kornia,
    "auto": codec("auto"),
    "pillow": codec("pillow"),
    "tensor": codec("tensor"),
    "differentiable, both ways": gradient,
}
ON_CUDA = {
    "kornia": kornia,
    "nvJPEG": nvjpeg,
    "auto": codec("auto"),
    "tensor": codec("tensor"),
    "triton": codec("triton"),
    "differentiable, both ways": gradient,
}


@pytest.fixture(scope="module", autouse=True)
def table(request):
    """Print what was measured once the module is through."""
    yield
    if not ROWS:
        return
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        sys.stdout.write(
            f"\n{'':26}{'size':>10}{'images/s':>12}{'x Pillow':>10}{'differ':>9}{'MB extra':>10}\n"
        )
        pools = {row[1]: row[2] for row in ROWS if row[0] == REFERENCE}
        for name, size, speed, differing, memory in ROWS:
            ratio = f"{speed / pools[size]:.2f}" if size in pools else "-"
            sys.stdout.write(f"{name:26}{size:>10}{speed:>12,.0f}{ratio:>10}{differing:>9}{memory:>10}\n")


@pytest.fixture
def quiet_deprecation(recwarn):
    """torchvision.io warns that it will go; it is a peer here, and warnings are errors elsewhere."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pytest.mark.parametrize("name", ON_CPU)
@pytest.mark.parametrize("size", SIZES)
def test_on_the_cpu(benchmark, quiet_deprecation, size, name):
    n, side = SIZES[size]
    benchmark.group = f"cpu, {n} x {side}x{side}, {torch.get_num_threads()} threads"
    images = photographs(n, side)
    given = list(images.permute(0, 2, 3, 1).contiguous().numpy()) if name == REFERENCE else images
    call = ON_CPU[name]
    result = call(given)  # what is only paid once is paid here
    benchmark.pedantic(call, (given,), rounds=3)
    differing = "" if name in {REFERENCE, "differentiable, both ways"} else share_differing(result, images)
    report(benchmark, name, f"{n}x{side}", n, differing, memory_on_cpu(name, size))


def share_differing(result, images):
    different = (
        (result.cpu() != jpeg.roundtrip(images.cpu(), quality=QUALITY, codec="pillow")).double().mean()
    )
    return f"{100 * different:.1f}%" if different else "none"


def report(benchmark, name, size, n, differing, memory):
    if benchmark.disabled:
        return
    speed = n / benchmark.stats.stats.min
    benchmark.extra_info.update(images_per_second=round(speed), differing=differing, extra_memory=memory)
    ROWS.append((name, size, speed, differing, memory))


MEASURE = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("bench", sys.argv[1])
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)
call, images = bench.ON_CPU[sys.argv[2]], bench.photographs(int(sys.argv[3]), int(sys.argv[4]))

def kilobytes(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])

call(images[:2])
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS")
result = call(images)
print((kilobytes("VmHWM") - before) / 1024, result.numel() / 2**20)
"""


def memory_on_cpu(name, size):
    """By how much a fresh process grew at its peak, less the result, over the size of a batch of eight times."""
    n, side = SIZES[size]
    if name not in {"pillow", "tensor"} or side < 100 or not Path("/proc/self/clear_refs").exists():
        return ""
    found = subprocess.run(
        [sys.executable, "-c", MEASURE, __file__, name, str(8 * n), str(side)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    grown, result = (float(value) for value in found.stdout.split())
    return f"{max(0.0, grown - result):.0f}/{result:.0f}"


def seconds_on_device():
    torch.cuda.synchronize()
    return time.perf_counter()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ON_CUDA)
@pytest.mark.benchmark(timer=seconds_on_device)
def test_on_cuda(benchmark, quiet_deprecation, name):
    n, side = 256, 224
    benchmark.group = f"{torch.cuda.get_device_name()}, {n} x {side}x{side}"
    images = photographs(n, side).cuda()
    call = ON_CUDA[name]
    result = call(images)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call(images)
    extra = torch.cuda.max_memory_allocated() - before - images.numel()
    benchmark.pedantic(call, (images,), rounds=20, iterations=1 if name == "nvJPEG" else 5)
    differing = "" if name == "differentiable, both ways" else share_differing(result, images)
    report(benchmark, name, f"{n}x{side}", n, differing, f"{extra / 2**20:.0f}/{images.numel() / 2**20:.0f}")
