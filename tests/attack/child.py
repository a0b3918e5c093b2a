"""Hostile inputs, one after the other in a child process that may not take much time or memory.

`outcomes(cases, folder)` is the parent's side. A case is a name, a function of this module and its argument; a case that
kills the child (a signal, the limit of CPU time) ends as "died", and the rest go on in a new child.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

CPU_SECONDS = 10
MEMORY = 1_000_000_000
WALL_SECONDS = 300  # of a child that waits for something that never comes


def outcomes(cases, folder):
    """Return {name: (type of the exception or "ok" or "died", message)} of (name, function, argument) cases."""
    left, found = list(cases), {}
    while left:
        done = _run(left, folder)
        found |= done
        died = next((case for case in left if case[0] not in done), None)
        if died:
            found[died[0]] = ("died", "")
        left = [case for case in left if case[0] not in found]
    return found


def _run(cases, folder):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        text=True,
    )
    try:
        output, _ = child.communicate(json.dumps(cases), timeout=WALL_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
    return {name: (kind, message) for name, kind, message in map(json.loads, output.splitlines())}


# ------------------------------------------------------------------------------- the child's side


def checkpoint(path):
    from robustcheck.models.checkpoints.checkpoint import read_checkpoint

    read_checkpoint(path)


def program(path):
    import torch

    import robustcheck

    module = robustcheck.load_program(path)
    classifier = robustcheck.Classifier(module, mean=(0,) * 3, std=(1,) * 3, input_size=16, device="cpu")
    classifier(torch.zeros(3, 3, 16, 16, dtype=torch.uint8))


def model(spec):
    from robustcheck.models import load_model

    name, _, weights = spec.partition("|")
    load_model(name, weights=weights or None, device="cpu")


def prepare():
    """Import what is needed before the limits."""
    import torch  # noqa: F401

    import robustcheck.models
    import robustcheck.models.sources.exported  # noqa: F401


def attempt(function, argument):
    """Return (type of the exception or "ok", message) of one case, under the limits."""
    from robustcheck.errors import RobustcheckError

    limit()
    try:
        globals()[function](argument)
    except RobustcheckError as error:
        return "RobustcheckError", str(error)
    except Exception as error:
        return type(error).__name__, str(error)
    return "ok", ""


def main():
    prepare()
    for name, function, argument in json.load(sys.stdin):
        print(json.dumps([name, *attempt(function, argument)]), flush=True)


def limit():
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
