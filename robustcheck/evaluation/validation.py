"""Whether a view can be evaluated at all: said before the first image, not in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable

from robustcheck.attacks import HasLogits
from robustcheck.attacks.external import LIBRARIES, check_attack
from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.steps import library_options
from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.notation import View


def check_feasible(
    view: View, classifier: Classifier, images: ImageSet, other_model: Callable[[str], HasLogits]
) -> None:
    """Raise `RobustcheckError` where a view needs labels, a library, a model or a class that is not there."""
    for inner in view.walk():
        if inner.sources:
            _check_step(inner, classifier, images, other_model)


def _check_step(
    view: View, classifier: Classifier, images: ImageSet, other_model: Callable[[str], HasLogits]
) -> None:
    library, _, attack = view.step.partition(":")
    if library in LIBRARIES:
        check_attack(library, attack, library_options(view))
    if view.kind != "attack" or not view.declared.options:
        return
    if view.option("label") == "true" and not images.has_labels:
        missing = int((images.labels < 0).sum())
        raise RobustcheckError(
            f"{view.alone}: an attack with [label=true] needs labels, and {missing} of {len(images)} images have none"
        )
    target = view.option("target")
    if target not in {None, "least"} and int(target or 0) >= classifier.probe():
        raise RobustcheckError(
            f"{view.alone}: {classifier.name} has no class {target}: its classes go from 0 to {classifier.probe() - 1}"
        )
    if model := view.option("from"):
        try:
            other_model(model)
        except RobustcheckError as error:
            raise RobustcheckError(f"{view.alone}: {error}") from None
