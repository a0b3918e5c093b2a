"""What the evaluations under mutations share with those of the set-up as it is: images, and what was found of the network.

Model and images are made anew for each mutation, by fixtures that may be anybody's. What is the same again is told by
the network's fingerprint, and by the images' spec.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from robustcheck.evaluation import Evaluation
from robustcheck.images import ImageSet
from robustcheck.models import Classifier

Drawn = tuple[ImageSet, int]
"""Few images, and the number of those that they were drawn from."""
_MOST_HELD = 256
"""Images of which the pixels are held in memory; of more each mutation decodes its own."""


class SharedWork:
    """The evaluations without a mutation, and the images that were drawn for them."""

    def __init__(self) -> None:
        self._sound: list[tuple[str, Evaluation]] = []
        """Each with the fingerprint that the network had."""
        self._drawn: dict[tuple[str, object], Drawn] = {}

    def add(self, evaluation: Evaluation) -> None:
        """Note an evaluation without a mutation."""
        self._sound.append((evaluation.classifier.fingerprint, evaluation))

    def of_network(self, classifier: Classifier) -> Evaluation | None:
        """Return an evaluation without a mutation of the same network; what it found of the network is taken over."""
        fingerprint = classifier.fingerprint
        known = next((evaluation for own, evaluation in self._sound if own == fingerprint), None)
        if known is not None:
            classifier.known_channels_last = known.classifier.channels_last
            classifier.class_count = known.classifier.class_count
        return known

    def drawn(self, spec: Any, classifier: Classifier, draw: Callable[[], Drawn]) -> Drawn:
        """Return the few images of a spec for a classifier, as `draw` returns them; drawn and decoded once."""
        if not isinstance(spec, str | Path):
            return draw()
        rule = replace(classifier.preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3)
        key = str(Path.cwd() / spec), rule
        if key not in self._drawn:
            few, population = draw()
            if len(few) <= _MOST_HELD:
                few.source = replace(few.source, read=lru_cache(maxsize=_MOST_HELD)(few.source.read))
            self._drawn[key] = few, population
        return self._drawn[key]
