"""Steps (e) and (h): the eight-view table of a ResNet-50 of random weights, its speed and where its time goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from robustcheck import Classifier, ImageSet
from tests.gpu.device import arithmetic, medians_in_turns, peak_bytes, precisions, synchronize
from tests.gpu.engine import TABLE, quietly
from tests.gpu.images import noise
from tests.gpu.peers import Normalised, study_script
from tests.gpu.profile import Kernel, busy_microseconds, by_name, kernels_of, profiler
from tests.gpu.report import in_short
from tests.gpu.runner import Job

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Study:
    """The network, the images in memory, and how many of them each contender gets."""

    def __init__(self, job: Job) -> None:
        torch.manual_seed(0)
        self.device = job.device
        self.size, self.count, self.few, self.batch_size = (32, 8, 4, 2) if job.toy else (224, 2048, 256, 128)
        model = torchvision.models.resnet18 if job.toy else torchvision.models.resnet50
        self.name = f"{model.__name__}, random weights"
        self.net = model().eval().to(job.device)
        self.classifier = Classifier(
            self.net, mean=MEAN, std=STD, input_size=self.size, device=job.device, name=self.name
        )
        self.pixels = noise(self.count, self.size).numpy()
        self.on_device = torch.from_numpy(self.pixels[: 4 * self.few]).to(job.device)

    def evaluate(self, precision: str, count: int | None = None, **how: Any) -> Any:
        """The table by the package, of images that it has not seen before."""
        images = ImageSet.from_arrays(self.pixels[:count])
        return quietly(self.classifier, images, TABLE, precision=precision, batch_size=self.batch_size, **how)

    def model_calls(self, precision: str, pixels: Tensor) -> None:
        """What any evaluation of the table needs: one gradient, and the other views through the network.

        bf16 leaves the gradient in fp32, and classifies all eight views.
        """
        model = Normalised(self.net, self.classifier.preprocessing).to(self.device)
        for batch in pixels.split(self.batch_size):
            images = (batch / 255).contiguous(memory_format=torch.channels_last)
            with arithmetic(precision, self.device, half=False):
                attacked = images.clone().requires_grad_()
                logits = model(attacked)
                torch.autograd.grad(logits.amax(1).sum(), attacked)
            with arithmetic(precision, self.device), torch.inference_mode():
                for _ in range(len(TABLE) - (precision != "bf16")):
                    model(images)

    def script(self, run: Callable[[nn.Module, Tensor, int], None], precision: str) -> None:
        """A script's table of a few images: its network as a script finds it."""
        model = Normalised(self.net, self.classifier.preprocessing).to(self.device).eval()
        with arithmetic(precision, self.device):
            run(model, self.on_device[: self.few], 64)


def table(job: Job) -> None:
    """(e) The table's images a second in each precision, beside the model calls alone and a script."""
    study, (named, script) = Study(job), study_script()
    job.log.note(
        f"{study.name}; {study.count} images {study.size}x{study.size} from memory, batches of {study.batch_size}. The "
        f"model calls are the network's as it is, its batch normalisations not folded, on {len(study.on_device)} images "
        f"on the device; the {named} has {study.few}, in batches of 64. All three in the same precision"
    )
    if "tf32" not in precisions(job.device):
        job.log.note("tf32 is left out: it is a precision of CUDA devices")
    counts = {"ours": study.count, "calls": len(study.on_device), "script": study.few}
    calls: dict[str, Callable[[], object]] = {}
    for precision in precisions(job.device):
        peak = peak_bytes(partial(study.evaluate, precision, 2 * study.batch_size), job.device)
        job.log.row("table", precision, peak_memory_MiB=peak / 2**20)
        study.model_calls(precision, study.on_device[: study.batch_size])
        study.script(script, precision)
        calls[f"{precision} ours"] = partial(study.evaluate, precision)
        calls[f"{precision} calls"] = partial(study.model_calls, precision, study.on_device)
        calls[f"{precision} script"] = partial(study.script, script, precision)
    rounds = 1 if job.toy else 5
    for medians in medians_in_turns(calls, job.device, rounds=rounds, deadline=job.deadline, shortest=0):
        for precision in precisions(job.device):
            speeds = {kind: count / medians[f"{precision} {kind}"] for kind, count in counts.items()}
            _log(job, precision, named, **speeds)


def _log(job: Job, precision: str, named: str, *, ours: float, calls: float, script: float) -> None:
    job.log.row(
        "table",
        precision,
        **{
            "images/s": ours,
            "model calls alone, images/s": calls,
            "% of the model calls": 100 * ours / calls,
            f"{named}, images/s": script,
            "times the script": ours / script,
        },
    )
    job.log.headline(
        f"{precision}: {in_short(ours)} images/s, {100 * ours / calls:.0f} % of the model calls, "
        f"{ours / script:.3g} x the {named}"
    )


def one_batch(job: Job) -> None:
    """(h) One batch of the table under the profiler: the device's time by kernel, its gaps, the host's time."""
    study = Study(job)
    with profiler(job.device):  # what is paid once
        synchronize(job.device)
    for precision in ("fp32", "bf16"):
        watch = _Watch(job.device)
        study.evaluate(precision, 4 * study.batch_size, progress=watch)
        job.log.row(
            "one batch",
            precision,
            images=study.batch_size,
            host_ms=watch.host_seconds * 1e3,
            host_ms_profiled=watch.profiled_seconds * 1e3,
        )
        if kernels := kernels_of(watch.profiled, job.device):
            _log_kernels(job, precision, kernels)
        else:
            job.log.note(f"{precision}: the profiler saw no kernels")


def _log_kernels(job: Job, precision: str, kernels: list[Kernel]) -> None:
    span, busy = (kernels[-1].end - kernels[0].start) / 1e3, busy_microseconds(kernels) / 1e3
    job.log.row(
        "one batch",
        precision,
        device_busy_ms=busy,
        gaps_ms=span - busy,
        busy_share=busy / span,
        kernels=len(kernels),
    )
    for name, count, microseconds in by_name(kernels)[:12]:
        milliseconds = microseconds / 1e3
        values = {"calls": count, "ms": milliseconds, "share": milliseconds / busy}
        job.log.row(f"{precision}: the device's time by kernel", name[:70], **values)
    job.log.headline(f"{precision}: device busy {busy:.3g} ms a batch, idle {span - busy:.3g} ms")


class _Watch:
    """Told of each batch that is done: times the host on the next but one, and profiles the one after.

    When it is told, the batch after is with the device; once that is waited for, the host's time until it is told
    again is that of giving one batch to the device, or on the CPU of computing it.
    """

    def __init__(self, device: str) -> None:
        self.device, self.told = device, 0
        self.profiled = profiler(device)
        self.host_seconds = self.profiled_seconds = self.start = 0.0

    def __call__(self, _done: int, _of: int) -> None:
        self.told += 1
        seconds = time.perf_counter() - self.start
        if self.told == 2:
            self.host_seconds = seconds
        elif self.told == 3:
            self.profiled_seconds = seconds
        synchronize(self.device)
        if self.told == 3:
            self.profiled.stop()
        if self.told == 2:
            self.profiled.start()
        self.start = time.perf_counter()
