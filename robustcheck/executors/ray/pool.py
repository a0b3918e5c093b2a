"""The actors of Ray that hold one classifier: created as nodes have room, restarted by Ray itself."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.executor import Workload
from robustcheck.evaluation.shards import Shard
from robustcheck.executors.ray.actor import Worker
from robustcheck.executors.ray.cluster import CPU, GPU, has_free, import_ray, room_for
from robustcheck.options.workers import WorkerOptions

_LOOK_EVERY = 2.0
"""Seconds between two looks for nodes that joined or left."""
MAX_LOSSES = 3
"""Images on which so many workers died end the run."""
_PATIENCE = 60.0
"""Seconds to wait for a worker while there is no room for any."""


@dataclass(eq=False)
class ActorHandle:
    """One actor, and what it was asked for."""

    actor: Any
    work: Workload | None = None
    """The evaluation that it holds, or was asked to hold."""
    is_ready: bool = False
    """Whether it has said that it holds it."""
    was_ready: bool = False
    """Whether it ever was ready."""
    free_at: float = 0.0
    """The time, by `time.monotonic`, from which it may be asked to hold an evaluation."""
    pending: dict[Any, Shard | None] = field(default_factory=dict)
    """By reference to the result, in order: a chunk of `work`, or None for the request to hold it."""

    @property
    def chunks(self) -> list[Shard]:
        """The chunks that it was given, the first of which it is computing."""
        return [chunk for chunk in self.pending.values() if chunk is not None]

    def reset(self) -> list[Shard]:
        """Forget what it was asked for, since its process is lost, and return the chunks that it had."""
        chunks = self.chunks
        self.pending.clear()
        self.work, self.is_ready = None, False
        return chunks


class ActorPool:
    """The actors of one classifier, all alike: as many as there is room for, or as `options.count` asks for.

    `classifier` is the reference from which each is made, and made anew by Ray.
    """

    def __init__(self, options: WorkerOptions, device: torch.device, classifier: Any) -> None:
        gpus = float(device.type == "cuda") if options.gpus is None else options.gpus
        self.options: WorkerOptions = options
        self.needs: dict[str, float] = {CPU: float(options.cpus), GPU: gpus}
        self.handles: list[ActorHandle] = []
        worker_device = "cuda" if gpus else "cpu" if device.type == "cuda" else str(device)
        self._arguments = (classifier, options.cpus, worker_device)
        self._ray_options = {"num_cpus": options.cpus, "num_gpus": gpus, "max_restarts": MAX_LOSSES - 1}
        self._looked = 0.0
        self._check_room()
        self._has_begun = has_free(self.needs)
        """Whether Ray could start the first at once; where it could, a worker that is not ready is loading its model."""
        self._last_ready = time.monotonic()

    def fill(self) -> None:
        """Create actors for which there is room; raises `RobustcheckError` if there was none for long."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        room, nodes = room_for(self.needs)
        while len(self.handles) < min(room, self.options.count or room):
            actor = import_ray().remote(Worker).options(**self._ray_options).remote(*self._arguments)
            self.handles.append(ActorHandle(actor))
        if any(handle.is_ready for handle in self.handles) or (room and self._has_begun):
            self._last_ready = now
        elif now - self._last_ready > _PATIENCE:
            raise RobustcheckError(
                f"for {_PATIENCE:g} s no worker of Ray could start: its nodes have {nodes}, and others may be using them; "
                "what was measured is kept if there is a record store"
            )

    def remove(self, handle: ActorHandle) -> None:
        """End an actor; the next `fill` creates another if there is room."""
        self.handles.remove(handle)
        self._looked = 0.0
        ray = import_ray()
        with suppress(ray.exceptions.RayError):
            ray.kill(handle.actor)

    def close(self) -> None:
        """End all actors."""
        for handle in [*self.handles]:
            self.remove(handle)

    def _check_room(self) -> None:
        room, nodes = room_for(self.needs)
        count = self.options.count
        if room and (count is None or count <= room):
            return
        each = f"{self.needs[CPU]:g} CPUs and {self.needs[GPU]:g} GPUs"
        many = "" if count is None else f"{count} "
        raise RobustcheckError(
            f"there is no room for {many}workers of {each} each, and Ray would wait for ever: its nodes have {nodes}, "
            f"which is room for {room}. Ask for fewer or smaller ones: --robustcheck-worker-options=cpus:1,gpus:0"
        )
