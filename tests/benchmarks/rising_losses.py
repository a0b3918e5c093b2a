"""Whether images whose loss was still rising when an attack stopped are those that a longer or stronger one changes.

    python -m tests.benchmarks.rising_losses [--count N]

Prints, for small networks: the share of images whose column `rising` is 1; of the predictions that an attack leaves, how many
four times its steps change, and how many `APGD_e[steps=200]`, among the images that are rising and among the others.
"""

# ruff: noqa: T201 - a script

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Mapping

import numpy as np

from robustcheck import Classifier, ImageSet
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.notation import parse
from tests.benchmarks.attack_strength import subject

EPSILONS = {"plain": 24, "robust": 48, "robust, logits x 30": 40}
DEFAULTS = {"PGD": "steps=20", "APGD": "steps=50", "Square": "queries=1000"}
ATTACKS = (
    *("PGD_{e}", "PGD_{e}[steps=5]", "PGD_{e}[steps=40]", "PGD_{e}[step=1]", "PGD_{e}[step=2]"),
    *("APGD_{e}[steps=5]", "APGD_{e}[steps=10]", "APGD_{e}", "Square_{e}[queries=250]"),
)
STRONGER = "APGD_{e}[steps=200]"


def longer(text: str) -> str:
    """Return an attack with four times its steps.

    >>> longer("PGD_8[step=1]"), longer("APGD_8[steps=5]")
    ('PGD_8[step=1,steps=80]', 'APGD_8[steps=20]')
    """
    if not re.search(r"(steps|queries)=", text):
        added = DEFAULTS[text.partition("_")[0]]
        text = text.replace("]", f",{added}]") if "[" in text else f"{text}[{added}]"
    return re.sub(r"(steps|queries)=(\d+)", lambda found: f"{found[1]}={4 * int(found[2])}", text)


def columns(classifier: Classifier, images: ImageSet, text: str) -> Mapping[str, np.ndarray]:
    """Return the columns of an attack's records."""
    evaluation = Evaluation(classifier, images, RunConfig(0, 128))
    evaluation.run([text])
    return evaluation.records.columns[parse(text)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=497)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, e in EPSILONS.items():
        classifier, images = subject(name, asked.count)
        stronger = columns(classifier, images, STRONGER.format(e=e))
        for text in (attack.format(e=e) for attack in ATTACKS):
            found, more = columns(classifier, images, text), columns(classifier, images, longer(text))
            kept = found["kept"] == 1
            rising = kept & (found["rising"] == 1)
            lost = {"4 x": kept & (more["kept"] == 0), "APGD 200": kept & (stronger["kept"] == 0)}
            counts = ", ".join(
                f"{which}: {(rising & gone).sum()} of {rising.sum()}, others {(~rising & gone).sum()} of {(kept & ~rising).sum()}"
                for which, gone in lost.items()
            )
            print(f"{name}: {text}: left {kept.mean():.1%}, rising {rising.mean():.1%}; {counts}", flush=True)


if __name__ == "__main__":
    main()
