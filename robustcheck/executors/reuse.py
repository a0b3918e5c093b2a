"""Records of another evaluation of the same network and images, of which only labels or the names of views differ."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace

import numpy as np
from scipy.special import softmax

from robustcheck.evaluation.engine import Evaluation
from robustcheck.evaluation.executor import LocalExecutor, Workload
from robustcheck.evaluation.shards import ShardRecords, ShardTask
from robustcheck.models.network_state import UnknownState
from robustcheck.notation import View, X

_SAME_PROBABILITY = 1e-4
"""How far the top probability of an image may be from the recorded one: batches of another size move the last bits."""


class ReusingExecutor(LocalExecutor):
    """Takes what another evaluation has of the same network and images, and computes the rest in this process.

    Both must agree in all that the record store's keys are of, in the images' pixels, and in what the network says of one
    image. Where labels differ, the column `correct` is made anew.
    """

    def __init__(self, source: Evaluation) -> None:
        self._source = source

    def run(
        self, work: Workload, tasks: Iterable[ShardTask], ahead: Iterable[ShardTask]
    ) -> Generator[ShardRecords, None, None]:
        """Yield records that the other evaluation has, then those that are computed."""
        if not self._agrees(work):
            yield from super().run(work, tasks, ahead)
            return
        for task in tasks:
            taken = {view: start for view, start in task.missing.items() if self._has(view, work)}
            yield from (self._taken(view, start, task, work) for view, start in taken.items())
            missing = {view: start for view, start in task.missing.items() if view not in taken}
            if missing:
                yield from super().run(work, [replace(task, missing=missing)], ())

    def _agrees(self, work: Workload) -> bool:
        """Whether network, options and pixels are the same."""
        source = self._source
        if work.images.names != source.images.names or source.done(X) != len(source.images):
            return False
        try:
            is_same = work.checkpoint.facts == source.checkpoint.facts
        except UnknownState:
            return False
        return is_same and work.images.ids == tuple(source.table.ids) and self._says_the_same(work)

    def _says_the_same(self, work: Workload) -> bool:
        logits, recorded = work.checkpoint.check.logits(0), self._source.columns(X)[0]
        top = int(logits.argmax())
        apart = abs(float(softmax(logits.astype(np.float64))[top]) - float(recorded["p_top"]))
        return top == int(recorded["prediction"]) and apart <= _SAME_PROBABILITY

    def _has(self, view: View, work: Workload) -> bool:
        if self._source.done(view) < len(self._source.images):
            return False
        return _is_free_of_labels(view) or np.array_equal(work.images.labels, self._source.images.labels)

    def _taken(self, view: View, start: int, task: ShardTask, work: Workload) -> ShardRecords:
        positions = work.order[start : task.stop]
        rows, labels = self._source.columns(view)[positions], work.images.labels[positions]
        if not np.array_equal(labels, self._source.images.labels[positions]):
            rows["correct"] = np.where(labels >= 0, rows["prediction"] == labels, np.nan)
        ids = tuple(self._source.table.ids[position] for position in positions)
        return ShardRecords(start, ids, {view: rows}, is_stored=True)


def _is_free_of_labels(view: View) -> bool:
    """Whether only the column `correct` of a view depends on labels, and is 0 or 1."""
    return not any(each.draws or _uses_labels(each) for each in view.walk() if each.sources)


def _uses_labels(view: View) -> bool:
    return view.declared.kind == "selection" or view.options.get("label") == "true"
