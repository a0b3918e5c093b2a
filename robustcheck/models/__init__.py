"""Classifiers: pixels in, logits out, from any of the places that people keep networks in."""

from __future__ import annotations

from robustcheck.models.classifier import Classifier
from robustcheck.models.device import resolve_device, send
from robustcheck.models.importpath import as_classifier
from robustcheck.models.loading import load_model
from robustcheck.models.precision import PRECISIONS, Precision
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.models.program import load_program

__all__ = [
    "PRECISIONS",
    "Classifier",
    "Precision",
    "Preprocessing",
    "as_classifier",
    "load_model",
    "load_program",
    "resolve_device",
    "send",
]
