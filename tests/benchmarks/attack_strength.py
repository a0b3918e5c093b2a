"""How strong our attacks are beside those of other libraries: small networks, epsilons swept, equal gradient calls.

    python -m tests.benchmarks.attack_strength [--count N] [--steps N] [--seed N] [--ensembles]

Prints, for each network and epsilon, the share of predictions that each attack leaves. Then, paired by image, how many
images our defaults break that the strongest peer of their kind does not, and how many fewer, with McNemar's one-sided p; and
the same of our best against the peers' best. The output of peers is rounded to whole levels. Libraries that are not
installed are left out.
"""

# ruff: noqa: T201 - a script

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterable
from importlib.util import find_spec

import torch
from torch import nn

from robustcheck import Classifier, ImageSet
from robustcheck.claims.intervals import sign_test
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.notation import parse
from tests.sanity import networks

OURS = (
    *("PGD_{e}[steps={s}]", "PGD_{e}[loss=margin,steps={s}]", "PGD_{e}[loss=dlr,steps={s}]"),
    *("APGD_{e}[steps={s}]", "APGD_{e}[loss=margin,steps={s}]", "APGD_{e}[loss=dlr,steps={s}]"),
)
PEERS = {
    "torchattacks": (
        "torchattacks:PGD_{e}[steps={s},alpha={a}]",
        "torchattacks:APGD_{e}[steps={s}]",
        "torchattacks:APGD_{e}[loss=dlr,steps={s}]",
    ),
    "foolbox": ("foolbox:LinfPGD_{e}[rel_stepsize={r},steps={s}]",),
}
ENSEMBLES = {"apgd-ce": "APGD_{e}[steps=100]", "apgd-dlr": "APGD_{e}[loss=dlr,steps=100]"}
"""Attacks of pyautoattack, which take 100 steps, and ours that do."""
EPSILONS = {"plain": (16, 24, 32), "robust": (40, 48, 64), "robust, logits x 30": (48, 64)}
"""Those that leave 20 to 80 %."""


class Scaled(nn.Module):
    """A network with its logits times a number."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.network(images) * self.factor


def subject(name: str, count: int) -> tuple[Classifier, ImageSet]:
    """Return a network and images that it has not seen."""
    classifier, _ = networks.trained(name.partition(",")[0])
    if "30" in name:
        scaled = Scaled(classifier.module, 30.0).eval()
        classifier = Classifier(
            scaled, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, name=name, device="cpu"
        )
    pixels, labels = networks.digits()
    rows = slice(networks.TRAINED_ON, networks.TRAINED_ON + count)
    return classifier, ImageSet.from_arrays(pixels[rows], labels[rows].numpy(), name="digits")


def shares(
    classifier: Classifier, images: ImageSet, texts: list[str], seed: int
) -> dict[str, tuple[torch.Tensor, float]]:
    """Return which predictions each view leaves, and the seconds that it takes."""
    found = {}
    for text in texts:
        evaluation = Evaluation(classifier, images, RunConfig(seed, 128))
        started = time.process_time()
        evaluation.run([text])
        kept = torch.from_numpy(evaluation.records.columns[parse(text)]["kept"] > 0)
        found[text] = kept, time.process_time() - started
    return found


def compare(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Print how our defaults stand against the strongest peer of their kind, and our best against the peers' best."""
    if not theirs:
        return
    default = {kind: next(text for text in ours if text.startswith(kind)) for kind in ("PGD", "APGD")}
    of_kind = {
        "PGD": [text for text in theirs if "APGD" not in text],
        "APGD": [text for text in theirs if "APGD" in text],
    }
    pairs = [
        (f"default {kind}", default[kind], _strongest(theirs, of_kind[kind]))
        for kind in default
        if of_kind[kind]
    ]
    for what, own, peer in [*pairs, ("best", _strongest(ours, ours), _strongest(theirs, theirs))]:
        weaker, stronger = (
            int(rows.sum()) for rows in (ours[own] & ~theirs[peer], ~ours[own] & theirs[peer])
        )
        chance = sign_test(weaker, stronger)
        print(
            f"    {what}, {own}, against {peer}: {stronger} more, {weaker} fewer, p(weaker) {chance:.2g}",
            flush=True,
        )


def _strongest(kept: dict[str, torch.Tensor], texts: Iterable[str]) -> str:
    return min(texts, key=lambda text: int(kept[text].sum()))


def main() -> None:
    """Run the sweep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=497)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--ensembles", action="store_true", help="also pyautoattack's, of 100 steps, at one epsilon"
    )
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, epsilons in EPSILONS.items():
        classifier, images = subject(name, asked.count)
        for e in epsilons:
            values = {
                "e": e,
                "s": asked.steps,
                "a": round(2.5 * e / asked.steps / 255, 6),
                "r": 2.5 / asked.steps,
            }
            own = [text.format(**values) for text in OURS]
            peers = [
                each.format(**values)
                for library, texts in PEERS.items()
                if find_spec(library)
                for each in texts
            ]
            rows = shares(classifier, images, own + peers, asked.seed)
            if asked.ensembles and e == epsilons[1] and find_spec("pyautoattack"):
                rows |= shares(
                    classifier, images, [text.format(**values) for text in ENSEMBLES.values()], asked.seed
                )
                rows |= shares(
                    classifier, images, [f"autoattack_{e}[attacks={each}]" for each in ENSEMBLES], asked.seed
                )
            print(f"{name}, epsilon {e}, {len(images)} images")
            for text, (kept, seconds) in rows.items():
                print(f"    {float(kept.double().mean()):6.1%} left  {seconds:5.1f} s  {text}", flush=True)
            kept = {text: row for text, (row, _) in rows.items()}
            compare({text: kept[text] for text in own}, {text: kept[text] for text in peers})


if __name__ == "__main__":
    main()
