"""Steps (d) and (g): how fast the round trip is, beside others and cut in other ways."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import cycle

import torch
from torch import Tensor

from robustcheck import jpeg
from tests.gpu import compiled, kernels, peers
from tests.gpu.device import ROUND, medians_in_turns, seconds_a_call
from tests.gpu.images import cuts
from tests.gpu.profile import busy_seconds
from tests.gpu.report import in_short
from tests.gpu.runner import Job
from tests.gpu.steps_exact import copy_bandwidth

LEAST_BYTES, ALL_BYTES = 6, 12
"""Bytes a pixel: three read and three written at least; as the kernels do it, pixels are read twice, and planes of a
byte and a half written and read."""
NVJPEG = {"cuda": "nvJPEG", "cpu": "torchvision.io"}
"""torchvision's codec, by device."""


@dataclass(frozen=True)
class Size:
    """What is timed at once, and the copy bandwidth that it is held against, in bytes a second."""

    count: int
    side: int
    bandwidth: float

    def __str__(self) -> str:
        return f"{self.count} images {self.side}x{self.side}, quality {peers.QUALITY}"

    def batches(self, device: str, several: int = 4) -> list[Tensor]:
        """Batches of different images, together larger than the device's cache at the larger size."""
        return [cuts(self.count, self.side, start * self.count).to(device) for start in range(several)]

    def values(self, seconds: float, *, with_bytes: bool) -> dict[str, float]:
        """What a table says of the seconds a batch."""
        share = 100 * self.count * self.side**2 / seconds / self.bandwidth
        bytes_moved = {
            "% of copy, least bytes": LEAST_BYTES * share,
            "% of copy, all bytes": ALL_BYTES * share,
        }
        return {
            "images/s": self.count / seconds,
            "ms a batch": seconds * 1e3,
            **(bytes_moved if with_bytes else {}),
        }


def speed(job: Job) -> None:
    """(d) Round trips a second at two sizes, beside nvJPEG, kornia and Pillow on all cores."""
    warnings.simplefilter("ignore")  # torchvision.io says that it will go
    bandwidth = copy_bandwidth(job)
    job.log.row("copy", "read and written", GB_a_second=bandwidth / 1e9)
    job.log.note(
        f"least bytes: {LEAST_BYTES} a pixel, read and written once; all bytes: {ALL_BYTES}, what the kernels read and "
        "write, caches apart"
    )
    sizes = ((1, 16), (1, 8)) if job.toy else ((256, 224), (256, 32))
    headlines = [_speed_at(job, Size(count, side, bandwidth)) for count, side in sizes]
    job.log.headline("; ".join([*headlines, _computed_bound(job, bandwidth)]))


def _computed_bound(job: Job, bandwidth: float) -> str:
    """Log how many images a second the kernels' machine code allows at most; the same in few words."""
    gpu = compiled.gpu_at_hand(bandwidth)
    limits = compiled.bounds_of(gpu)
    least = min(limits, key=limits.__getitem__)
    values = {"images/s at most": limits[least], "bound by": least}
    job.log.row(f"computed from the machine code, {compiled.SIDE}x{compiled.SIDE}", gpu.name, **values)
    return f"at most {in_short(limits[least])} by {least} on {gpu.name}, computed"


def _speed_at(job: Job, size: Size) -> str:
    """Time all codecs at one size; what there is to say in few words."""
    batches, table = size.batches(job.device), str(size)
    arrays = [*batches[0].permute(0, 2, 3, 1).contiguous().cpu().numpy()]
    pool = f"Pillow, {peers.cores()} cores"
    calls = {
        **{name: _rotating(codec, batches) for name, codec in _that_run(job, table, batches[0]).items()},
        pool: partial(peers.interleaved_pool, arrays, peers.cores()),
    }
    said = ""
    for medians in medians_in_turns(
        calls,
        job.device,
        rounds=1 if job.toy else 7,
        deadline=job.deadline,
        shortest=0 if job.toy else ROUND,
    ):
        ours = medians["triton"]
        for name, seconds in medians.items():
            values = size.values(seconds, with_bytes=name == "triton")
            job.log.row(table, name, **values, **{"triton's speedup": seconds / ours})
        peer = next((name for name in medians if name in NVJPEG.values()), pool)
        said = f"{in_short(size.count / ours)} images/s at {size.side}x{size.side}, {medians[peer] / ours:.3g} x {peer}"
        job.log.headline(said)
    if alone := busy_seconds(calls["triton"], job.device, calls=1 if job.toy else 20):
        job.log.row(table, "triton, kernels alone", **size.values(alone, with_bytes=True))
    else:
        job.log.note(f"{table}: the profiler saw no kernels")
    return said


def _that_run(job: Job, table: str, batch: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """The codecs, without peers that can't be run here; logs in how many samples each differs from Pillow."""
    exact = jpeg.roundtrip(batch.cpu(), quality=peers.QUALITY, codec="pillow")
    ours = {name: partial(jpeg.roundtrip, quality=peers.QUALITY, codec=name) for name in ("triton", "tensor")}
    found: dict[str, Callable[[Tensor], Tensor]] = {}
    for name, codec in {**ours, NVJPEG[job.device]: peers.nvjpeg, "kornia": peers.kornia}.items():
        try:
            result = codec(batch)
        except Exception as error:
            if name in ours:
                raise
            job.log.note(f"{table}: {name} was left out: {type(error).__name__}: {str(error)[:150]}")
            continue
        differing = float((result.cpu() != exact).double().mean())
        job.log.row(table, name, **{"% of samples unlike Pillow's": 100 * differing})
        if name in ours:
            job.log.check(f"{table}: {name} equals Pillow", differing == 0)
        found[name] = codec
    return found


def _rotating(codec: Callable[[Tensor], Tensor], batches: Iterable[Tensor]) -> Callable[[], Tensor]:
    """A call on one batch after the other."""
    turn = cycle(batches)
    return lambda: codec(next(turn))


def sweep(job: Job) -> None:
    """(g) The kernels cut in other ways: the first kernel's, then, with the best of those, the second's."""
    size = Size(1, 16, 1.0) if job.toy else Size(256, 224, 1.0)
    batches = size.batches(job.device)
    exact = jpeg.roundtrip(batches[0], quality=peers.QUALITY, codec="tensor")
    now, best = kernels.LAUNCH, kernels.LAUNCH
    times: dict[kernels.Launch, float] = {}
    for launches in (kernels.code_launches, kernels.merge_launches):
        for launch in launches(best, toy=job.toy):
            if job.is_late:
                job.log.note("not all ways were tried: time was up")
                return
            if launch in times or (seconds := _timed(job, launch, batches, exact)) is None:
                continue
            times[launch] = seconds
            best = min(times, key=times.__getitem__)
            gain = times.get(now, seconds) / times[best]
            job.log.row("way to cut the work", _said(launch), **{"images/s": size.count / seconds})
            job.log.row("best of them", _said(now), best=_said(best), times_as_fast=gain)
            job.log.headline(f"best: {_said(best)}, {gain:.3g} x as fast as now")


def _timed(job: Job, launch: kernels.Launch, batches: list[Tensor], exact: Tensor) -> float | None:
    """Seconds a batch; None where the device can't run it so, or pixels differ."""
    try:
        result = kernels.roundtrip(batches[0], peers.QUALITY, launch)
    except Exception as error:  # too many registers, too much shared memory
        if launch == kernels.LAUNCH:
            raise
        job.log.note(f"{_said(launch)}: {type(error).__name__}: {str(error)[:150]}")
        return None
    if not torch.equal(result, exact):
        job.log.note(f"{_said(launch)}: its pixels differ")
        return None
    call = _rotating(lambda batch: kernels.roundtrip(batch, peers.QUALITY, launch), batches)
    calls = 1 if job.toy else 12
    return busy_seconds(call, job.device, calls=calls) or seconds_a_call(call, calls, job.device)


def _said(launch: kernels.Launch) -> str:
    return (
        f"side {launch.side} in {launch.code_warps} warps, "
        f"{launch.rows} x {launch.columns} in {launch.merge_warps}"
    )
