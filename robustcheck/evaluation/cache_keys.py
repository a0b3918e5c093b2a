"""What records are kept under: everything that the numbers depend on.

A *config digest* covers all but images and views: model (weights, preprocessing, state, code), torch's flags, codec, precision, device kind,
seed, label policy, batch size, versions. A *shard key* covers a shard of the image set: where it begins, the names and
labels of its images; the images themselves are compared by the hashes of their pixels when a block is read. A *view
key* is the view's canonical text, with a digest of the code of steps that a repository registered, the versions of
other libraries whose attacks are in it, and the models that `from=` names.

The batch size and the device are in it since they move the last bits; the number of threads is not.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import robustcheck
from robustcheck.attacks import HasLogits
from robustcheck.models import Classifier
from robustcheck.models.network_state import torch_flags, value_digest
from robustcheck.notation import View
from robustcheck.records.provenance import Provenance
from robustcheck.store.block import FORMAT

OtherModel = Callable[[str], HasLogits]
_OF_PROVENANCE = ("pixels", "precision", "network", "codec", "labels", "seed", "versions")


def config_facts(
    classifier: Classifier, provenance: Provenance, *, batch_size: int, replicate: int
) -> dict[str, str]:
    """Return all that the numbers depend on but images and views, in words.

    `provenance` is that of `robustcheck.evaluation.provenance`; `replicate` tells a second evaluation from the first.
    Raises `robustcheck.models.network_state.UnknownState` for a model that can't be compared between runs.
    """
    lines = provenance.header()
    return {
        "model": classifier.name,
        **_model_facts(classifier),
        "torch": torch_flags(),
        **{name: lines[name] for name in _OF_PROVENANCE},
        "batch size": str(batch_size),
        "take": str(replicate),
        "records": str(FORMAT),
        **place_facts(classifier),
    }


def place_facts(classifier: Classifier) -> dict[str, str]:
    """Return those of the facts that are of the process and its machine."""
    return {"device": _device_kind(classifier.device), "source": _own_source()}


def config_digest(facts: Mapping[str, str]) -> str:
    """Return 32 hex digits over some facts."""
    return hashlib.blake2b(json.dumps(dict(facts), sort_keys=True).encode(), digest_size=16).hexdigest()


def shard_key(digest: str, start: int, names: Sequence[str], labels: npt.NDArray[np.int64]) -> str:
    """Return 32 hex digits for a shard: of a configuration, from where in the order, of which images and labels."""
    text = json.dumps([digest, start, list(names), labels.tolist()])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def view_key(view: View, other_model: OtherModel) -> str:
    """Return what a view's records are kept under.

    Raises `robustcheck.models.network_state.UnknownState` for a step or a model that can't be compared between runs.
    """
    return "; ".join([str(view), *dict.fromkeys(_facts_of(view, other_model))])


def _facts_of(view: View, other_model: OtherModel) -> Iterator[str]:
    for inner in view.walk():
        if not inner.sources:
            continue
        step = inner.declared
        if step.function is not None:
            yield f"{inner.step} is {value_digest(step.function)}"
        elif step.version:
            yield step.version
        for passed in inner.through:
            yield from _facts_of(passed.view, other_model)
        for name in (inner.options["from"] or ()) if "from" in step.options else ():
            source: Any = other_model(name)
            facts = _model_facts(getattr(source, "classifier", source))
            yield f"{name} is {facts['weights']} {facts['state']}"


def _model_facts(classifier: Classifier) -> dict[str, str]:
    return {"weights": classifier.fingerprint, "state": classifier.state_digest}


def _device_kind(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(device)}"
    return f"cpu, {torch.backends.cpu.get_cpu_capability()}" if device.type == "cpu" else device.type


@cache
def _own_source() -> str:
    """Return nothing for a release, whose version says all; of a version under development a digest of its code."""
    if not re.search(r"dev", robustcheck.__version__):
        return ""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(robustcheck.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
