"""Classifiers: pixels in, logits out, from any of the places that people keep networks in."""

from __future__ import annotations

from robustcheck.models.classifier import Classifier
from robustcheck.models.device import resolve_device, send
from robustcheck.models.precision import PRECISIONS, Precision
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.models.registry import load_model
from robustcheck.models.sources.import_string import as_classifier

__all__ = [
    "PRECISIONS",
    "Classifier",
    "Precision",
    "Preprocessing",
    "as_classifier",
    "load_model",
    "resolve_device",
    "send",
]
