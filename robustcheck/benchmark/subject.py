"""What was measured: two measurements of one test are compared only where these facts agree.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustcheck.models import Classifier

Subject = dict[str, Any]

IMAGES = "images per call"
_UNKNOWN = "unknown"


def model_facts(classifier: Classifier, precision: str) -> Subject:
    """Return what a time depends on of a classifier: its layers, not the values of its weights."""
    layers = hashlib.sha256()
    for name, layer in classifier.module.named_modules():
        layers.update(f"\n{name}: {type(layer).__qualname__}".encode())
    for name, value in classifier.module.state_dict().items():
        layers.update(f"\n{name}: {getattr(value, 'shape', '')} {getattr(value, 'dtype', '')}".encode())
    return {
        "model": f"{classifier.name} (layers {layers.hexdigest()[:8]})",
        "precision": precision,
        "image size": size_text(*classifier.input_size),
    }


def size_text(height: int, width: int) -> str:
    """Return a size of images as text, height first."""
    return f"{height} x {width}"


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    """Yield each fact in which two subjects differ.

    How many images a call takes counts only where both say it.

    >>> [*differences({"precision": "fp32", "batch size": 8}, {"precision": "bf16"})]
    ['precision: bf16 there, fp32 here', 'batch size: unknown there, 8 here']
    """
    for fact in dict.fromkeys((*here, *there)):
        if fact == IMAGES and not (fact in here and fact in there):
            continue
        ours, theirs = here.get(fact, _UNKNOWN), there.get(fact, _UNKNOWN)
        if ours != theirs:
            yield f"{fact}: {theirs} there, {ours} here"
