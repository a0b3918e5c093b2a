"""The option `through`: the defences that an attack's gradient goes through, as in `through=JPG_50+Noise_2`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from robustcheck.notation.parser import NotationError, parse
from robustcheck.notation.tree import IDENTITY, ThroughStep, X


@dataclass(frozen=True)
class Through:
    """Defences in the order in which they are applied, joined by `+`.

    A defence followed by `:identity` is passed backward as if it were not there (BPDA; Athalye, Carlini, Wagner 2018),
    which is the only way through one without a gradient of its own.
    """

    name: str
    default: tuple[ThroughStep, ...] = ()

    def parse(self, text: str) -> tuple[ThroughStep, ...]:
        """Return the defences, or raise ValueError that says what is allowed."""
        steps, start = [], 0
        for part in text.split("+"):
            steps.append(self._step(part, start))
            start += len(part) + 1
        return tuple(steps)

    def text(self, value: Iterable[ThroughStep]) -> str:
        """Return the defences' one spelling."""
        return "+".join(map(str, value))

    def _step(self, text: str, start: int) -> ThroughStep:
        written = text.removesuffix(IDENTITY)
        try:
            view = parse(written)
        except NotationError as error:
            raise NotationError(error.text, start + error.column, error.problem) from None
        gradients = () if view == X or view.sources != (X,) else view.declared.gradients
        if not gradients:
            raise ValueError(
                f"{self.name} is what stands between attack and model, such as JPG, JPG_50, JPG:identity or "
                f"JPG+Noise_2, got {text}"
            )
        asks_identity = text != written and "identity" in gradients
        return ThroughStep(view, "identity" if asks_identity else gradients[0])
