"""What the numbers of an evaluation depend on, as reports name it."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch

import robustcheck
from robustcheck import jpeg
from robustcheck.evaluation.prepared_model import OPTIMIZE
from robustcheck.evaluation.runner import RunConfig
from robustcheck.images import ImageSet
from robustcheck.models import Classifier, Precision
from robustcheck.notation import View
from robustcheck.records.provenance import LABELS, Codec, Model, Provenance


@dataclass(frozen=True)
class ModelState:
    """What a network is at the time of an evaluation."""

    fingerprint: str
    computed_in: tuple[str, ...]
    """The precisions in which it computes by itself."""

    @classmethod
    def of(cls, classifier: Classifier) -> ModelState:
        """Return that of a classifier now."""
        return cls(classifier.fingerprint, classifier.computed_in)


def describe(
    classifier: Classifier,
    images: ImageSet,
    config: RunConfig,
    *,
    state: ModelState,
    complete: bool,
    views: Iterable[View] = (),
) -> Provenance:
    """Return the provenance of records that this process computes.

    The image set's fingerprint is over its pixels, so it is there where all of them were seen: `complete`. Of other
    libraries, those are named that made one of the `views`.
    """
    libraries = {inner.declared.version for view in views for inner in view.walk() if inner.sources}
    made_by = jpeg.codec_info(config.codec)
    return Provenance(
        model=Model(classifier.name, state.fingerprint, classifier.origin or ""),
        pixels=images.source.preparation(classifier.preprocessing),
        images=images.provenance(complete=complete),
        devices=(_device_name(classifier.device),),
        precision=str(Precision(config.precision, classifier.device, state.computed_in)),
        network=OPTIMIZE[config.optimize],
        codec=Codec(made_by.settings, made_by.library),
        labels=LABELS,
        seed=str(config.seed),
        versions=(
            f"robustcheck {robustcheck.__version__}",
            f"torch {torch.__version__}",
            f"torchvision {version('torchvision')}",
            f"numpy {np.__version__}",
            f"Python {platform.python_version()}",
        ),
        libraries=tuple(sorted(libraries - {""})),
    )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
