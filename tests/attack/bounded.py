"""Runs a function on hostile inputs, each in a process of its own with bounds on CPU time, waiting and memory.

`python -m tests.attack.bounded MODULE:FUNCTION INPUT...` prints a line of JSON for each input. The libraries are imported
once; a fork of that process handles an input.
"""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

SECONDS, WAIT, MEMORY = 10, 600, 10**9
"""CPU seconds, seconds of waiting (a machine may be busy), and bytes that are allocated, for each input."""


def outcomes(function: str, inputs: Sequence[object]) -> dict[str, str]:
    """Return, for each input's text, `repr` of what the function returns, "ErrorType: message", or the signal that ended it."""
    command = [sys.executable, "-m", "tests.attack.bounded", function, *map(str, inputs)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


def _bounded(function: Callable[[str], object], given: str, out: int) -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    signal.alarm(WAIT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = repr(function(given))
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    os.write(out, said.encode("utf-8", "backslashreplace")[:4000])
    os._exit(0)


def _outcome(function: Callable[[str], object], given: str) -> str:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _bounded(function, given, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return said if status == 0 else f"ended by {signal.Signals(-status).name if status < 0 else status}"


def _main(name: str, *inputs: str) -> None:
    function = pkgutil.resolve_name(name)
    for given in inputs:
        sys.stdout.write(json.dumps([given, _outcome(function, given)]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
