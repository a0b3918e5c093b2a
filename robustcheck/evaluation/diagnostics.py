"""What is wrong with a model, its attacks or its labels: each thing is warned of once."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from robustcheck.errors import RobustnessWarning
from robustcheck.evaluation.batch_state import BatchRun
from robustcheck.records import Records


class Warner:
    """Warns of one model."""

    def __init__(self, name: str) -> None:
        self.doubts: list[str] = []
        """What the first batch gave rise to, in this run or in that which the store has it from."""
        self._name = name
        self._told: set[str] = set()

    @property
    def told(self) -> tuple[str, ...]:
        """What was warned of beside the doubts."""
        return tuple(sorted(self._told - {*self.doubts}))

    def warn(self, text: str) -> None:
        """Warn, unless it was done."""
        if text not in self._told:
            self._told.add(text)
            warnings.warn(f"{self._name}: {text}", RobustnessWarning, stacklevel=2)

    def doubt(self, doubts: Iterable[str]) -> None:
        """Warn of what a first batch has shown."""
        for doubt in doubts:
            if doubt not in self.doubts:
                self.doubts.append(doubt)
            self.warn(doubt)

    def look_at(self, run: BatchRun) -> None:
        """Warn of what the first batch shows to be wrong with the model."""
        from robustcheck.sanity.first_batch import doubts

        self.doubt(doubts(run))

    def look_back(self, records: Records, classes: int | None) -> None:
        """Warn of what the records of a whole image set show to be wrong with attacks and labels."""
        from robustcheck.sanity.recorded import warnings_of

        for warning in warnings_of(records, classes):
            self.warn(warning)
