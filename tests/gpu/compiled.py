"""The kernels as machine code for GPUs that are not at hand: registers, spills, instructions, and a bound on images/s.

    python -m tests.gpu.compiled            # the launch configuration in use
    python -m tests.gpu.compiled --sweep    # and the others, by the bound

Triton brings NVIDIA's assembler and disassembler, so that this needs no GPU. The bound is computed, not measured: the
kernels have no loops, so that a warp issues each of its instructions at most once, and no program can take less time
than the busiest pipe of a multiprocessor needs for them, or than memory needs for the bytes. Rates are those of "Throughput of
native arithmetic instructions" in NVIDIA's CUDA C++ Programming Guide, by compute capability; load and store units,
clocks and bandwidths those of NVIDIA's data sheets.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import torch

from tests.gpu import kernels
from tests.gpu.kernels import LAUNCH, Launch, code_planes, merge_planes
from tests.gpu.report import table

SIDE = 224
QUADS = 4
"""A multiprocessor has four schedulers, each of which issues one instruction a cycle to 32 lanes."""
LANES = {"fma": 64, "alu": 64, "conversion": 16, "memory": 32}
"""Results a cycle and multiprocessor, by pipe, of compute capabilities 8.0, 9.0 and 10.0."""
PIPES = {
    "fma": ("IMAD", "FFMA", "FMUL", "FADD", "HFMA2"),
    "conversion": ("F2I", "I2F", "I2FP", "MUFU"),
    "memory": ("LDG", "STG", "LDS", "STS", "STSM", "LDSM", "SHFL"),
    "none": ("NOP", "BRA", "EXIT", "BAR", "BSYNC", "BSSY", "WARPSYNC"),
}
"""Instructions by pipe; all others are counted as the integer unit's, uniform ones (U...) as issued only."""
BYTES_A_PIXEL = 9
"""Three read, a byte and a half of planes written and read, three written; colours read again come from the cache."""


@dataclass(frozen=True)
class Gpu:
    name: str
    capability: int
    multiprocessors: int
    hertz: float
    bandwidth: float
    """Bytes a second."""


GPUS = (
    Gpu("A100 SXM", 80, 108, 1.41e9, 2.04e12),
    Gpu("H100 SXM", 90, 132, 1.98e9, 3.35e12),
    Gpu("B200", 100, 148, 1.97e9, 8.0e12),
)


def gpu_at_hand(bandwidth: float) -> Gpu:
    """The CUDA device, with its copy bandwidth in bytes a second, or else the H100."""
    if not torch.cuda.is_available():
        return GPUS[1]
    facts = torch.cuda.get_device_properties()
    known = {gpu.capability: gpu for gpu in GPUS}
    alike = known.get(10 * facts.major + facts.minor) or known.get(10 * facts.major, GPUS[1])
    hertz = 1e3 * getattr(facts, "clock_rate", 0) or alike.hertz
    return Gpu(facts.name, alike.capability, facts.multi_processor_count, hertz, bandwidth)


def bounds_of(gpu: Gpu) -> dict[str, float]:
    """The bounds of the configuration in use, by a process of its own: in Triton's interpreter nothing is compiled."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.gpu.compiled", "--json", json.dumps(asdict(gpu))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])}: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Part:
    """One compiled kernel of the round trip at 4:2:0, and how often an image runs it."""

    name: str
    registers: int
    spilled: int
    """Bytes of local memory a thread: stack frames and spilled registers."""
    shared: int
    """Bytes a program."""
    instructions: Mapping[str, int]
    warps: int
    """Warps an image."""

    @property
    def cycles(self) -> dict[str, float]:
        """Cycles of one scheduler that an image takes at least, by what is busy."""
        found = dict.fromkeys(("issue", *LANES), 0.0)
        for name, count in self.instructions.items():
            found["issue"] += count
            pipe = _pipe(name)
            if pipe in LANES:
                found[pipe] += count * 32 * QUADS / LANES[pipe]
        return {name: self.warps * cycles for name, cycles in found.items()}


def parts(capability: int, launch: Launch = LAUNCH, side: int = SIDE) -> list[Part]:
    """Compile the kernels of a round trip at 4:2:0 for a compute capability (80, 90, 100)."""
    luma = ceil(ceil(side / 8) / launch.side) ** 2
    chroma = 2 * ceil(ceil(side / 16) / launch.side) ** 2
    merged = ceil(side / launch.rows) * ceil(side / (2 * launch.columns))
    code = {"SIDE": launch.side}
    merge = {"ACROSS": 2, "DOWN": 2, "FANCY": True, "ROWS": launch.rows, "COLUMNS": launch.columns}
    return [
        _part("luma", code_planes, {**code, "ACROSS": 1, "DOWN": 1, "LUMA": True}, capability, launch.code_warps, luma),
        _part("chroma", code_planes, {**code, "ACROSS": 2, "DOWN": 2, "LUMA": False}, capability, launch.code_warps, chroma),
        _part("merge", merge_planes, merge, capability, launch.merge_warps, merged),
    ]  # fmt: skip


def bounds(gpu: Gpu, found: list[Part], side: int = SIDE) -> dict[str, float]:
    """Images a second that a GPU can't exceed, by what bounds them."""
    totals: Counter[str] = Counter()
    for part in found:
        totals.update(part.cycles)
    schedulers = QUADS * gpu.multiprocessors * gpu.hertz
    by_memory = gpu.bandwidth / (BYTES_A_PIXEL * side**2)
    return {**{name: schedulers / cycles for name, cycles in totals.items()}, "bandwidth": by_memory}


def _part(
    name: str, kernel: Any, constants: dict[str, Any], capability: int, warps: int, programs: int
) -> Part:
    cubin, shared = _compiled(kernel, tuple(constants.items()), capability, warps)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = _tool("cuobjdump", "-res-usage", file.name)
        code = _tool("cuobjdump", "-sass", file.name)
    number = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    return Part(
        name, number["REG"], number["STACK"] + number["LOCAL"], shared, Counter(_operations(code)), programs * warps
    )  # fmt: skip


@cache
def _compiled(
    kernel: Any, constants: tuple[tuple[str, Any], ...], capability: int, warps: int
) -> tuple[bytes, int]:
    """A kernel's machine code and its bytes of shared memory, specialised as the launches of `jpeg.triton` are."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = kernel.arg_names
    fixed = {**dict(constants), **({"stride_w": 1} if "stride_w" in names else {})}
    pointers = kernels.POINTERS[kernel.__name__]
    source = ASTSource(
        fn=kernel,
        signature={name: "constexpr" if name in fixed else pointers.get(name, "i32") for name in names},
        constexprs={(names.index(name),): value for name, value in fixed.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in pointers},
    )
    options = {"num_warps": warps, "enable_fp_fusion": False}
    done = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return done.asm["cubin"], done.metadata.shared


def _tool(name: str, *arguments: str) -> str:
    import triton.backends.nvidia

    program = Path(triton.backends.nvidia.__file__).parent / "bin" / name
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


def _operations(code: str) -> Iterator[str]:
    """The names of the instructions, without what follows the final exit to fill a cache line."""
    for line in code.splitlines():
        found = re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P[0-9T]+\s+)?([A-Z][A-Z0-9]*)", line)
        if found and found[1] != "NOP":
            yield found[1]


def _pipe(name: str) -> str:
    for pipe, members in PIPES.items():
        if name in members:
            return pipe
    return "uniform" if name.startswith("U") else "alu"


def report(launch: Launch = LAUNCH) -> str:
    """Tables of the kernels and of the bounds, as Markdown."""
    kernel_rows, bound_rows = {}, {}
    for gpu in GPUS:
        found = parts(gpu.capability, launch)
        for part in found:
            kernel_rows[f"sm_{gpu.capability} {part.name}"] = {
                "registers": part.registers,
                "bytes spilled": part.spilled,
                "bytes shared": part.shared,
                "instructions": sum(part.instructions.values()),
                "warps an image": part.warps,
            }
        limits = bounds(gpu, found)
        bound_rows[gpu.name] = {
            "images/s at most": min(limits.values()),
            "bound by": min(limits, key=limits.__getitem__),
            **limits,
        }
    return f"{table('kernel', kernel_rows)}\n\n{table(f'{SIDE}x{SIDE}, 4:2:0, computed', bound_rows)}"


def sweep() -> str:
    """Launch configurations by the bound of each kernel on the H100, as Markdown."""
    gpu, rows = GPUS[1], {}
    for launch in {*kernels.code_launches(LAUNCH, toy=False), *kernels.merge_launches(LAUNCH, toy=False)}:
        found = parts(gpu.capability, launch)
        limits = bounds(gpu, found)
        rows[str(launch).removeprefix("Launch")] = {
            "images/s at most": min(limits.values()),
            "registers": max(part.registers for part in found),
            "bytes spilled": max(part.spilled for part in found),
        }
    ordered = sorted(rows.items(), key=lambda row: -row[1]["images/s at most"])
    return table(f"{gpu.name}, computed", dict(ordered))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.compiled", description=__doc__.splitlines()[0])
    parser.add_argument("--sweep", action="store_true", help="compare launch configurations, too")
    parser.add_argument("--json", metavar="GPU", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.json:
        described = Gpu(**json.loads(asked.json))
        sys.stdout.write(json.dumps(bounds(described, parts(described.capability))))
    else:
        sys.stdout.write(f"{report()}\n")
        if asked.sweep:
            sys.stdout.write(f"\n{sweep()}\n")
