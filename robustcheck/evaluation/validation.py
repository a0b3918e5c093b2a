"""Whether a view can be evaluated at all: checked before the first image."""

from __future__ import annotations

from collections.abc import Callable

from robustcheck.attacks import HasLogits
from robustcheck.errors import RobustcheckError
from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.notation import View, load


def validate_view(
    view: View, classifier: Classifier, images: ImageSet, other_model: Callable[[str], HasLogits]
) -> None:
    """Raise `RobustcheckError` if a view needs labels, a library, a model or a class that is not there."""
    for inner in view.walk():
        if inner.sources and inner.declared.validator:
            load(inner.declared.validator)(inner)
        if inner.sources and inner.declared.kind == "attack":
            _validate_attack(inner, classifier, images, other_model)


def _validate_attack(
    view: View, classifier: Classifier, images: ImageSet, other_model: Callable[[str], HasLogits]
) -> None:
    options = view.options
    if options.label == "true" and not images.has_labels:
        missing = int((images.labels < 0).sum())
        raise RobustcheckError(
            f"{view.alone}: an attack with [label=true] needs labels, and {missing} of {len(images)} images have none"
        )
    target = options.get("target")
    if isinstance(target, int) and target >= classifier.probe():
        raise RobustcheckError(
            f"{view.alone}: {classifier.name} has no class {target}: its classes go from 0 to {classifier.probe() - 1}"
        )
    for model in options.get("from") or ():
        try:
            other_model(model)
        except RobustcheckError as error:
            raise RobustcheckError(f"{view.alone}: {error}") from None
