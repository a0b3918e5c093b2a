"""What runs in a worker of Ray: an actor that holds the model and measures chunks of shards. It imports no Ray."""

from __future__ import annotations

import os
import socket
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.cache_keys import place_facts
from robustcheck.evaluation.checkpoint import RecordCheckpoint
from robustcheck.evaluation.engine import Evaluation
from robustcheck.evaluation.provenance import ModelState, describe
from robustcheck.evaluation.runner import RunConfig
from robustcheck.evaluation.shards import Place, Shard, ShardRecords
from robustcheck.executors.ray.payload import Load, SentPixels, load_classifier, load_evaluation
from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.models.network_state import UnknownState
from robustcheck.notation import View, parse

Result = TypeVar("Result")
MAY_DIFFER = ("device", "precision", "kind", "host")
"""The parts of an identity that may be others on a worker than in the process that asks it."""


@dataclass(frozen=True)
class Failure:
    """Why a worker returned nothing."""

    message: str
    host: str

    def __str__(self) -> str:
        return f"{self.message}\n(reported by a worker of Ray on {self.host})"


@dataclass(frozen=True)
class ChunkResult:
    """What a worker measured of a chunk."""

    records: ShardRecords
    """Those that it sends; `place` says where they were measured."""
    stored: tuple[View, ...] = ()
    """The views whose records it wrote to the record store instead."""


def identity(classifier: Classifier, images: ImageSet, config: RunConfig) -> dict[str, str]:
    """Return what records depend on that a process and its machine bring along."""
    facts = place_facts(classifier)
    state = ModelState.of(classifier)
    lines = describe(classifier, images, config, state=state, complete=False).header()
    return {
        **{name: lines[name] for name in ("pixels", "codec", "network", "versions", "device", "precision")},
        "weights": state.fingerprint,
        "source": facts["source"],
        "kind": facts["device"],
        "host": socket.gethostname(),
    }


def place_of(own: Mapping[str, str]) -> Place:
    """Return where a worker of some identity computes."""
    return Place(own["host"], own["device"], own["precision"], own["kind"])


def _has_digest(checkpoint: RecordCheckpoint, digest: str) -> bool:
    """Whether an evaluation's configuration has a digest; code that was sent by value has no file to tell it by."""
    try:
        return checkpoint.config_digest == digest
    except UnknownState:
        return False


class Worker:
    """Holds a classifier, and one evaluation of it at a time. Ray makes it anew, with the same arguments, if it dies."""

    def __init__(self, classifier: bytes | Load, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self._host = socket.gethostname()
        self._identity: Mapping[str, str] = {}
        self._evaluation: Evaluation | None = None
        self._sent_pixels: SentPixels | None = None
        self._classifier: Classifier | Failure = self._attempt(lambda: load_classifier(classifier, device))

    def pid(self) -> int:
        """Return the number of its process."""
        return os.getpid()

    def prepare(self, evaluation: bytes) -> Mapping[str, str] | Failure:
        """Hold another evaluation of the classifier, and return what its records depend on here."""
        self._evaluation = None
        if isinstance(self._classifier, Failure):
            return self._classifier
        return self._attempt(partial(self._hold, self._classifier, evaluation))

    def compute(
        self,
        views: Sequence[str],
        start: int,
        stop: int,
        pixels: npt.NDArray[np.uint8] | None,
        config_digest: str | None,
    ) -> ChunkResult | Failure | None:
        """Measure the images from `start` to `stop`, which are `pixels` if they can't be read here.

        They are written to the record store if the evaluation has the `config_digest` that is asked for. Returns None
        if there is no evaluation: the process is a new one.
        """
        if self._evaluation is None:
            return None
        if pixels is not None and self._sent_pixels is not None:
            rows = self._evaluation.order[start:stop].tolist()
            self._sent_pixels.by_position = dict(zip(rows, pixels, strict=True))
        chunk = Shard(start, stop)
        return self._attempt(partial(self._measure, self._evaluation, views, chunk, config_digest))

    def _hold(self, classifier: Classifier, data: bytes) -> Mapping[str, str]:
        made, self._sent_pixels = load_evaluation(classifier, data)
        self._identity = identity(made.classifier, made.images, made.config)
        self._evaluation = made
        return self._identity

    def _measure(
        self, evaluation: Evaluation, views: Sequence[str], chunk: Shard, config_digest: str | None
    ) -> ChunkResult:
        measured = evaluation.workload.compute(chunk, map(parse, views))
        records = replace(
            measured,
            is_stored=True,
            first_batch_warnings=measured.first_batch_warnings if chunk.start == 0 else (),
            warnings=evaluation.diagnostics.others,
            place=place_of(self._identity),
        )
        checkpoint = evaluation.checkpoint
        if config_digest is None or not _has_digest(checkpoint, config_digest):
            return ChunkResult(records)
        try:
            checkpoint.commit(checkpoint.block(records))
        except RobustcheckError as error:
            problem = f"{error} (on the worker {self._host}): its records are sent"
            return ChunkResult(replace(records, warnings=(*records.warnings, problem)))
        stored = tuple(view for view in records.columns if checkpoint.view_key(view) is not None)
        sent = {view: columns for view, columns in records.columns.items() if view not in stored}
        return ChunkResult(replace(records, columns=sent), stored)

    def _attempt(self, work: Callable[[], Result]) -> Result | Failure:
        """Return what `work` returns, or why it failed: Ray would report a dead actor, or its own stack.

        Warnings were given where the classifier comes from, or are sent with the records.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return work()
            except Exception as error:  # noqa: BLE001 - it is reported where it can be read
                return self._failure(error)

    def _failure(self, error: Exception) -> Failure:
        if isinstance(error, RobustcheckError):
            return Failure(str(error), self._host)
        frames = traceback.extract_tb(error.__traceback__)
        at = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        return Failure(f"{type(error).__name__}: {error}{at}", self._host)
