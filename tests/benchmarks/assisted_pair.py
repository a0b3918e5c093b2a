# ruff: noqa: T201 - a script, which prints its table
"""What a baseline saves on two real networks: `python -m tests.benchmarks.assisted_pair FOLDER [--images=5200]`.

The old network is the sample; the new one is the sample with the weights of its last layer rounded to a few bits. The
images are drawn from the twenty sample photographs (crops, mirrored, rotated, brighter or darker): a population of
thousands of images, though not of thousands of photographs. The records of the old network are the baseline. Then four
claims are decided for the new one, several times, with the baseline's help and without, each in an order of its own.
The table has the median images of each claim's decision, and the median seconds of a run that decides all four.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image, ImageEnhance

CONFTEST = """
import os
import pytest
import robustcheck
import torch


@pytest.fixture(scope="session")
def robustcheck_model():
    model = robustcheck.load_model("sample")
    bits = int(os.environ.get("BITS", "0"))
    if bits:
        with torch.no_grad():
            weight = model.module.classifier.weight
            step = weight.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1)
            weight.copy_((weight / step).round() * step)
    return model
"""
MARGIN = 0.03  # of each claim, to what the old network measured


def draw(photograph, rng):
    """Return a picture drawn from a photograph, of the same size."""
    width, height = photograph.size
    share = rng.uniform(0.75, 1.0)
    w, h = round(width * share), round(height * share)
    left, top = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
    picture = photograph.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC)
    picture = picture.crop((left, top, left + w, top + h)).resize((width, height), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return ImageEnhance.Brightness(picture).enhance(rng.uniform(0.7, 1.3))


def write_images(folder, count):
    """Write the images and the table of their labels, as `--robustcheck-images=FOLDER/list.csv` reads it."""
    (spec,) = find_spec("foolbox").submodule_search_locations
    photographs = sorted(Path(spec, "data").glob("imagenet_*_*.jpg"))
    rng, lines = np.random.default_rng(0), ["file,label"]
    opened = [Image.open(path).convert("RGB") for path in photographs]
    for number in range(count):
        of = number % len(photographs)
        name = f"{of:02}-{number:05}.jpg"
        draw(opened[of], rng).save(folder / name, quality=95)
        lines.append(f"{name},{photographs[of].stem.rpartition('_')[2]}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")


def run(folder, *arguments, bits, expected=(0, 1)):
    """Run pytest there; return its seconds and its output."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--robustcheck-images=images/list.csv",
        *arguments,
    ]
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "BITS": str(bits)},
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - start
    if done.returncode not in expected:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return took, done.stdout


def write_claims(folder):
    """Write four claims, each by its margin away from what the old network measured; return their texts by name."""
    (study,) = json.loads((folder / "old.json").read_text())["studies"]
    of = {row["view"]: row["accuracy"]["value"] for row in study["rows"]}
    of["recovery"] = (of["JPG(Adv_1)"] - of["Adv_1"]) / (of["x"] - of["Adv_1"])
    texts = [
        f"accuracy(x) >= {of['x'] - MARGIN:.3f}",
        f"accuracy(Adv_1) <= {of['Adv_1'] + MARGIN:.3f}",
        f"accuracy(JPG(Adv_1)) >= {of['JPG(Adv_1)'] - MARGIN:.3f}",
        f"recovery(JPG(Adv_1)) >= {of['recovery'] - MARGIN:.3f}",
    ]
    named = {f"claim-{number}": text for number, text in enumerate(texts)}
    lines = [f'{name} = "{text}"' for name, text in named.items()]
    (folder / "robustcheck.toml").write_text("\n".join(["[claims]", *lines, ""]))
    return named


def decide(folder, *arguments, bits):
    """Decide the four claims; return the seconds and the verdict of each claim, as the JSON report has it."""
    took, _ = run(folder, "--robustcheck-stop-early", "--robustcheck-json=new.json", *arguments, bits=bits)
    claims = json.loads((folder / "new.json").read_text())["claims"]
    return took, {claim["name"]: claim for claim in claims}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--images", type=int, default=5200)
    parser.add_argument(
        "--bits", type=int, default=5, help="bits of a weight of the new network's last layer"
    )
    parser.add_argument("--draws", type=int, default=3, help="how often the claims are decided each way")
    options = parser.parse_args()
    folder = options.folder
    (folder / "images").mkdir(parents=True)
    write_images(folder / "images", options.images)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "robustcheck.toml").write_text('[claims]\nall = "recovery(JPG(Adv_1)) >= 0"\n')
    whole, text = run(folder, "--robustcheck-save=main", "--robustcheck-json=old.json", bits=0)
    print(text, f"whole: {whole:.0f} s", sep="\n")
    texts = write_claims(folder)
    ways = {
        "alone": lambda number: (f"--robustcheck-seed={number}", "--robustcheck-store=off"),
        "assisted": lambda number: (
            "--robustcheck-compare=main",
            f"--robustcheck-draw={number}",
            "--robustcheck-store=off",
        ),
    }
    took = {way: [] for way in ways}
    seen = {(way, name): [] for way in ways for name in texts}
    for number in range(options.draws):
        for way, arguments in ways.items():
            seconds, claims = decide(folder, *arguments(number), bits=options.bits)
            took[way].append(seconds)
            for name, claim in claims.items():
                seen[way, name].append(claim["seen"])
                print(
                    number,
                    way,
                    f"{seconds:.0f} s",
                    claim["state"],
                    texts[name],
                    claim["numbers"],
                    claim["notes"],
                )
    print("| claim | images alone | assisted |", "|---|---|---|", sep="\n")
    for name, text in texts.items():
        print(f"| {text} | {median(seen['alone', name]):,.0f} | {median(seen['assisted', name]):,.0f} |")
    print(f"| seconds for all four | {median(took['alone']):.0f} | {median(took['assisted']):.0f} |")


if __name__ == "__main__":
    main()
