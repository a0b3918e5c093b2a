"""State how robust an image classifier is, as pytest assertions that gate CI.

Importing this package imports neither torch nor numpy: every public name is fetched when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustcheck import attacks, claims, jpeg
    from robustcheck import strategies as strategies
    from robustcheck.benchmark.fixture import Benchmark
    from robustcheck.errors import RobustcheckError, RobustnessWarning
    from robustcheck.evaluation import evaluate
    from robustcheck.images import ImageSet, open_images
    from robustcheck.models import Classifier, load_model
    from robustcheck.models.sources.exported import load_program
    from robustcheck.notation import register_attack, register_defence
    from robustcheck.records import Records
    from robustcheck.robustness import Robustness

__version__ = "0.1.0.dev0"

_MODULE_OF = {
    "Benchmark": "robustcheck.benchmark.fixture",
    "Classifier": "robustcheck.models",
    "ImageSet": "robustcheck.images",
    "Records": "robustcheck.records",
    "RobustcheckError": "robustcheck.errors",
    "Robustness": "robustcheck.robustness",
    "RobustnessWarning": "robustcheck.errors",
    "evaluate": "robustcheck.evaluation",
    "load_model": "robustcheck.models",
    "load_program": "robustcheck.models.sources.exported",
    "open_images": "robustcheck.images",
    "register_attack": "robustcheck.notation",
    "register_defence": "robustcheck.notation",
}


__all__ = [
    "Benchmark",
    "Classifier",
    "ImageSet",
    "Records",
    "RobustcheckError",
    "Robustness",
    "RobustnessWarning",
    "attacks",
    "claims",
    "evaluate",
    "jpeg",
    "load_model",
    "load_program",
    "open_images",
    "register_attack",
    "register_defence",
]

if not TYPE_CHECKING:  # a type checker is to see a name that is misspelt

    def __getattr__(name: str) -> Any:
        if name in _MODULE_OF:
            return getattr(import_module(_MODULE_OF[name]), name)
        if not name.startswith("_") and find_spec(f"robustcheck.{name}") is not None:
            return import_module(f"robustcheck.{name}")
        raise AttributeError(f"module 'robustcheck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "strategies", "__version__"]
