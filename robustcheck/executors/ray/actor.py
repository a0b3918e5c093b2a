"""What runs in a worker of Ray: an evaluation that was sent there, shard by shard. It imports no Ray."""

from __future__ import annotations

import os
import socket
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.cache_keys import place_facts
from robustcheck.evaluation.engine import Evaluation
from robustcheck.evaluation.executor import Measured
from robustcheck.evaluation.shards import Shard
from robustcheck.executors.ray.payload import Load, Sent, unpack

OWN = ("device", "precision")
"""What may be another on workers than in the process that asks them: it is said of theirs."""
SHARED = ("pixels", "codec", "network", "versions", "weights", "source")
"""What has to be the same."""


@dataclass(frozen=True)
class Failure:
    """Why a worker gave nothing."""

    message: str
    where: str


def identity(evaluation: Evaluation) -> dict[str, str]:
    """Return what the numbers of an evaluation depend on that its process and machine bring."""
    place = place_facts(evaluation.classifier)
    lines = evaluation.provenance.header()
    return {
        **{name: lines[name] for name in ("pixels", "codec", "network", "versions", *OWN)},
        "weights": evaluation.classifier.fingerprint,
        "kind": place["device"],
        "source": place["source"],
    }


class Worker:
    """Holds the model of one evaluation; a new one takes its place."""

    def __init__(self, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self._where, self._device = socket.gethostname(), device
        self._evaluation: Evaluation | None = None
        self._told: set[str] = set()

    def where(self) -> str:
        """Return the machine's name."""
        return self._where

    def pid(self) -> int:
        """Return the number of its process."""
        return os.getpid()

    def set_up(self, classifier: bytes | Load, rest: bytes) -> Mapping[str, str] | Failure:
        """Make the evaluation, and return its identity."""
        self._evaluation = None  # its memory goes before the next comes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were given where the evaluation comes from
            try:
                self._evaluation = unpack(classifier, rest, self._device)
                return identity(self._evaluation)
            except Exception as error:  # noqa: BLE001 - it is told where it can be read
                return self._failure(error)

    def compute(
        self,
        views: Sequence[str],
        start: int,
        stop: int,
        pixels: npt.NDArray[np.uint8] | None,
        study: str | None,
    ) -> Measured | Failure:
        """Return what is measured of a shard, whose images are `pixels` where they can't be read here.

        What can be kept is written to the record store, where this evaluation is of the `study` that is asked for.
        """
        evaluation = self._evaluation
        if evaluation is None:
            return Failure("it has no evaluation", self._where)
        if pixels is not None:
            source = evaluation.images.source.read
            assert isinstance(source, Sent)  # noqa: S101 - see there
            source.pixels = dict(zip(evaluation.order[start:stop].tolist(), pixels, strict=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are sent
            try:
                return self._measured(evaluation, views, Shard(start, stop), study)
            except Exception as error:  # noqa: BLE001 - see above
                return self._failure(error)

    def _measured(
        self, evaluation: Evaluation, views: Sequence[str], shard: Shard, study: str | None
    ) -> Measured:
        ids, columns = evaluation.measure(views, shard)
        doubts = tuple(evaluation.diagnostics.of_first_batch) if shard.start == 0 else ()
        measured = Measured(
            ids=tuple(ids),
            columns={str(view): own for view, own in columns.items()},
            doubts=doubts,
            warnings=evaluation.diagnostics.others,
            where=self._where,
            device=place_facts(evaluation.classifier)["device"],
        )
        keeper = evaluation.keeper
        if study is None or keeper.study != study:
            return measured
        part = keeper.part(shard, ids, columns, doubts)
        try:
            keeper.commit(part)
        except RobustcheckError as error:
            told = f"{error} (on the worker {self._where}): its records are sent"
            return replace(measured, warnings=(*measured.warnings, told))
        kept = tuple(str(view) for view in columns if keeper.key(view) is not None)
        return replace(
            measured,
            columns={view: own for view, own in measured.columns.items() if view not in kept},
            kept=kept,
        )

    def _failure(self, error: Exception) -> Failure:
        if isinstance(error, RobustcheckError):
            return Failure(str(error), self._where)
        frames = traceback.extract_tb(error.__traceback__)
        at = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        return Failure(f"{type(error).__name__}: {error}{at}", self._where)


def actor_options(cpus: int, gpus: float) -> dict[str, Any]:
    """Return what Ray is told of a worker: what it needs, and that it is not made anew behind our back."""
    return {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
