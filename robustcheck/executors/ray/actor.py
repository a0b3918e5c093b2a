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
from robustcheck.evaluation.provenance import describe
from robustcheck.evaluation.runner import RunConfig
from robustcheck.evaluation.shards import Place, Shard
from robustcheck.executors.ray.payload import Load, Sent, unpack
from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.notation import parse
from robustcheck.records import Rows

OWN = ("device", "precision")
"""What may be another on workers than in the process that asks them: it is said of theirs."""
SHARED = ("pixels", "codec", "network", "versions", "weights", "source")
"""What has to be the same."""


@dataclass(frozen=True)
class Failure:
    """Why a worker gave nothing."""

    message: str
    where: str


@dataclass(frozen=True)
class Measured:
    """What was measured of a shard, on its way from a worker."""

    ids: tuple[str, ...]
    columns: Mapping[str, Rows]
    """By the view's canonical text, the rows of the table, one per image of the shard."""
    kept: tuple[str, ...] = ()
    """The views whose columns are in the record store instead, since the worker wrote them there."""
    first_batch_warnings: tuple[str, ...] = ()
    """What the first batch of all shows to be wrong with the model."""
    warnings: tuple[str, ...] = ()
    host: str = ""
    kind: str = ""
    """The kind of device, as in the keys of the record store."""


def identity(classifier: Classifier, images: ImageSet, config: RunConfig) -> dict[str, str]:
    """Return what the numbers of an evaluation depend on that its process and machine bring."""
    facts = place_facts(classifier)
    lines = describe(
        classifier,
        images,
        complete=False,
        seed=config.seed,
        codec=config.codec,
        precision=config.precision,
        optimize=config.optimize,
    ).header()
    return {
        **{name: lines[name] for name in ("pixels", "codec", "network", "versions", *OWN)},
        "weights": classifier.fingerprint,
        "kind": facts["device"],
        "source": facts["source"],
    }


def place_of(told: Mapping[str, str]) -> Place:
    """Return where a worker with some identity computes."""
    return Place(told["host"], told["device"], told["precision"], told["kind"])


class Worker:
    """Holds the model of one evaluation; a new one takes its place."""

    def __init__(self, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self._where, self._device = socket.gethostname(), device
        self._evaluation: Evaluation | None = None
        self._sent: Sent | None = None
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
                made, self._sent = unpack(classifier, rest, self._device)
                self._evaluation = made
                return {**identity(made.classifier, made.images, made.config), "host": self._where}
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
            assert self._sent is not None  # noqa: S101 - pixels are sent where the images were made for it
            self._sent.pixels = dict(zip(evaluation.order[start:stop].tolist(), pixels, strict=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are sent
            try:
                return self._measured(evaluation, views, Shard(start, stop), study)
            except Exception as error:  # noqa: BLE001 - see above
                return self._failure(error)

    def _measured(
        self, evaluation: Evaluation, views: Sequence[str], shard: Shard, study: str | None
    ) -> Measured:
        checkpoint = evaluation.checkpoint
        records = evaluation.workload.compute(shard, map(parse, views))
        records = replace(
            records, first_batch_warnings=records.first_batch_warnings if shard.start == 0 else ()
        )
        measured = Measured(
            ids=records.ids,
            columns={str(view): own for view, own in records.columns.items()},
            first_batch_warnings=records.first_batch_warnings,
            warnings=evaluation.diagnostics.others,
            host=self._where,
            kind=place_facts(evaluation.classifier)["device"],
        )
        if study is None or checkpoint.config_digest != study:
            return measured
        try:
            checkpoint.commit(checkpoint.block(records))
        except RobustcheckError as error:
            told = f"{error} (on the worker {self._where}): its records are sent"
            return replace(measured, warnings=(*measured.warnings, told))
        kept = tuple(str(view) for view in records.columns if checkpoint.view_key(view) is not None)
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
