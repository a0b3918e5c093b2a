"""A mutation fuzzer for checkpoints and exported programs, run by hand: python -m tests.attack.fuzz SECONDS [SEED].

Whole files are damaged, and pickles, tables and graphs inside archives that are put together again soundly, so that a
mutant gets past the checksums. A mutant may load or end in a RobustcheckError of one line. Whatever else it does (another
exception, a file written, death by a signal, ten seconds of CPU, a gigabyte) is printed with its number: the mutant
of a number is always the same.
"""

import collections
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

PLANTED = (
    b"cposix\nsystem\n",
    b"\x82\x01",
    b"r\xff\xff\xff\x7f",
    b"X\xff\xff\xff\xff",
    b"cnumpy\ndtype\n",
    b"\x8b\xff\xff\xff\x7f",
)
TEXTS = (
    "__import__('os').system('touch it-ran')", "torch.ops.aten.from_file.default", "torch.ops.aten.set_.source_Tensor",
    "../../x", "s0**999", "", "\x1b[31m", "as_graph", "use_pickle", "opaque_obj_0", "custom_obj_0", "a" * 5000,
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**31, 2**63 - 1, 2**64, 1e308, None, True, [], {}, [[]])


def seeds():
    """Sound files: (function of child.py, content)."""
    import argparse

    import numpy as np
    import torch

    from tests.attack import program_files

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten())
    content = {
        "state_dict": net.state_dict(), "best": np.float64(0.5), "n": np.int32(3), "args": argparse.Namespace(lr=0.1),
        "ema": {"module": net.state_dict(), "decay": 0.9}, "opt": {"state": {0: {"m": torch.zeros(4)}}, "set": {1, 2}},
        "view": torch.arange(12.0).view(3, 4).T, "half": torch.ones(2, dtype=torch.uint16), "p": torch.nn.Parameter(torch.ones(1)),
    }  # fmt: skip
    for options in ({}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}):
        file = io.BytesIO()
        torch.save(content, file, **options)
        yield "checkpoint", file.getvalue()
    yield "program", program_files.sound().packed()


def mutant(number, sources):
    """Return the mutant of a number."""
    chance = random.Random(number)
    function, content = chance.choice(sources)
    if content.startswith(b"PK") and chance.random() < 0.8:
        return function, _inside(content, chance)
    return function, _bytes(content, chance)


def _inside(content, chance):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(chance.choice((1, 1, 2))):
        name = chance.choice(
            [name for name in parts if name.endswith((".pkl", ".json")) or chance.random() < 0.1]
            or list(parts)
        )
        if name.endswith(".json"):
            parts[name] = json.dumps(_json(json.loads(parts[name]), chance)).encode()
        else:
            parts[name] = _bytes(parts[name], chance)
    file = io.BytesIO()
    with zipfile.ZipFile(
        file, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as made:
        for name, data in parts.items():
            made.writestr(name, data)
    return file.getvalue()


def _bytes(content, chance):
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        action = chance.randrange(6)
        if action == 0 and at < len(data):
            data[at] = chance.randrange(256)
        elif action == 1 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif action == 2:
            del data[at : at + chance.choice((1, 2, 8, 64))]
        elif action == 3:
            data[at:at] = chance.choice(PLANTED)
        elif action == 4:
            start = chance.randrange(len(data) + 1)
            data[at:at] = data[start : start + chance.choice((1, 4, 16, 64))]
        else:
            data[at:at] = bytes(chance.randrange(256) for _ in range(chance.choice((1, 4))))
    return bytes(data)


def _json(value, chance):
    """Replace, remove or double one place of a JSON value."""
    places = []

    def walk(inner):
        items = (
            inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
        )
        for key, part in items:
            places.append((inner, key))
            walk(part)

    walk(value)
    if not places:
        return chance.choice(NUMBERS)
    holder, key = chance.choice(places)
    action, (other, its) = chance.randrange(5), chance.choice(places)
    if action == 0:
        holder[key] = chance.choice(TEXTS)
    elif action == 1:
        holder[key] = chance.choice(NUMBERS)
    elif action == 2:
        holder[key] = json.loads(json.dumps(other[its]))
    elif action == 3 and isinstance(holder, dict):
        holder[chance.choice(TEXTS)] = holder.pop(key)
    elif isinstance(holder, list):
        holder.insert(key, json.loads(json.dumps(holder[key])))
    return value


def child(first, step):
    """Try mutants until killed; print a line before and after each."""
    from tests.attack import child as runner

    runner.prepare()
    sources, number, path = list(seeds()), first, Path("mutant")
    while True:
        function, content = mutant(number, sources)
        path.write_bytes(content)
        print(json.dumps([number]), flush=True)
        kind, message = runner.attempt(function, str(path))
        path.unlink()
        print(json.dumps([number, kind, message[:300], sorted(os.listdir())]), flush=True)  # noqa: PTH208
        number += step


def main(seconds, seed=0):
    """Run children one after the other until the time is over, and print what came of it."""
    counts, end, number = collections.Counter(), time.monotonic() + seconds, seed * 10**9
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            number = _watch(folder, number, end, counts)
    print(dict(counts), "mutants", sum(counts.values()), "next", number)


def _watch(folder, number, end, counts):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-W", "ignore", "-m", "tests.attack.fuzz", "child", str(number)]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    begun = None
    for line in process.stdout:
        number, *rest = json.loads(line)
        begun = None if rest else number
        if rest:
            kind, message, files = rest
            sound = (
                kind in {"ok", "RobustcheckError"}
                and "\n" not in message
                and message.isprintable()
                and not files
            )
            counts[kind if sound else f"FOUND {kind}"] += 1
            if not sound:
                print("FOUND", number, kind, message, files, flush=True)
        if time.monotonic() > end:
            process.kill()
            process.wait()
            return number + 1
    process.wait()
    if begun is None:
        return number
    counts["FOUND died"] += 1
    print("FOUND", begun, "died", process.returncode, flush=True)
    return begun + 1


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(int(sys.argv[2]), 1)
    main(float(sys.argv[1]), *map(int, sys.argv[2:3]))
