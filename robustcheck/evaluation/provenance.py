"""What the numbers depend on, in words: a line each, in every report."""

from __future__ import annotations

import platform
from collections.abc import Iterable

import numpy as np
import torch
import torchvision

import robustcheck
from robustcheck import jpeg
from robustcheck.attacks.external import LIBRARIES, version_of
from robustcheck.evaluation.prepared_model import OPTIMIZE
from robustcheck.images import ImageSet
from robustcheck.models import Classifier, Precision
from robustcheck.notation import View


def describe(
    classifier: Classifier,
    images: ImageSet,
    *,
    complete: bool,
    seed: int,
    codec: str,
    precision: str,
    optimize: str,
    views: Iterable[View] = (),
) -> dict[str, str]:
    """Return the provenance of a run, in the order in which reports show it.

    The image set's fingerprint is over its pixels, so it is told where all of them were seen: `complete`. Of other
    libraries, those are told that made one of the `views`.
    """
    steps = {inner.step.partition(":")[0] for view in views for inner in view.walk()}
    libraries = ", ".join(version_of(library) for library in sorted(steps & LIBRARIES.keys()))
    origin = f" ({classifier.origin})" if classifier.origin else ""
    return {
        "model": f"{classifier.name}, weights {classifier.fingerprint}{origin}",
        "pixels": classifier.preprocessing.describe(),
        "images": images.describe(complete=complete),
        "device": _device_name(classifier.device),
        "precision": str(Precision(precision, classifier.device)),
        "network": OPTIMIZE[optimize],
        "codec": str(jpeg.codec_info(codec)),
        "labels": "attacks flee from l_x unless [label=true] or [target=...]; accuracy is against image labels",
        "seed": str(seed),
        "versions": f"robustcheck {robustcheck.__version__}, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, numpy {np.__version__}, Python {platform.python_version()}",
        **({"libraries": libraries} if libraries else {}),
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
