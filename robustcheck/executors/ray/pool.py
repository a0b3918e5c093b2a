"""The workers of Ray themselves: as many as there is room for, hired and dismissed as nodes come and go."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.executor import Workload
from robustcheck.evaluation.shards import Shard
from robustcheck.executors.ray.actor import Worker, actor_options
from robustcheck.executors.ray.chunks import Job
from robustcheck.executors.ray.cluster import CPU, GPU, has_free, import_ray, room_for
from robustcheck.options.workers import WorkerOptions

_LOOK_EVERY = 2.0
"""Seconds after which is looked for nodes that came or went."""
_PATIENCE = 60.0
"""Seconds without any worker that could work."""

Task = tuple[Job, Shard]


@dataclass(eq=False)
class Member:
    """One worker."""

    actor: Any
    work: Workload | None = None
    """The one that it holds, or is about to."""
    is_ready: bool = False
    flights: dict[Any, Task | None] = field(default_factory=dict)
    """What it was asked for, in order, by what stands for the result: a piece of a job, or to make ready."""

    @property
    def tasks(self) -> list[Task]:
        """The pieces that it has, the first of which it is at."""
        return [task for task in self.flights.values() if task is not None]


class Crew:
    """The workers of one run, all alike."""

    def __init__(self, options: WorkerOptions, device: torch.device) -> None:
        gpus = options.gpus
        if gpus is None:
            gpus = float(device.type == "cuda")
        self.options, self.needs = options, {CPU: float(options.cpus), GPU: gpus}
        self.members: list[Member] = []
        self._device = "cuda" if gpus else "cpu" if device.type == "cuda" else str(device)
        self._looked, self._worked = 0.0, time.monotonic()

    def check_room(self) -> None:
        """Raise `RobustcheckError` where there is no room for the workers that were asked for, or for any."""
        room, there = room_for(self.needs)
        count = self.options.count
        if room and (count is None or count <= room):
            return
        asked = f"{self.needs[CPU]:g} CPUs and {self.needs[GPU]:g} GPUs"
        many = "" if count is None else f"{count} "
        raise RobustcheckError(
            f"there is no room for {many}workers of {asked} each, and Ray would wait for ever: its nodes have {there}, "
            f"which is room for {room}. Ask for fewer or smaller ones: --robustcheck-worker-options=cpus:1,gpus:0"
        )

    def fill(self) -> None:
        """Have as many workers as there is room for, and no more; raises `RobustcheckError` where there long were none."""
        if time.monotonic() - self._looked < _LOOK_EVERY:
            return
        self._looked = time.monotonic()
        room, there = room_for(self.needs)
        for member in [member for member in self.members if not member.is_ready]:
            if len(self.members) > room:
                self.dismiss(member)
        while len(self.members) < min(room, self.options.count or room):
            self.members.append(self._hired())
        self._check_patience(there)

    def dismiss(self, member: Member) -> None:
        """End a worker, and look soon for a place for another."""
        self.members.remove(member)
        self._looked = 0.0
        ray = import_ray()
        with suppress(ray.exceptions.RayError):
            ray.kill(member.actor)

    def dismiss_all(self) -> None:
        """End all workers."""
        for member in [*self.members]:
            self.dismiss(member)

    def _hired(self) -> Member:
        hiring = import_ray().remote(Worker).options(**actor_options(self.options.cpus, self.needs[GPU]))
        return Member(hiring.remote(self.options.cpus, self._device))

    def _check_patience(self, there: str) -> None:
        is_about_to = self.members and has_free(self.needs)
        if any(member.is_ready for member in self.members) or is_about_to:
            self._worked = time.monotonic()
        elif time.monotonic() - self._worked > _PATIENCE and not self._has_begun():
            raise RobustcheckError(
                f"for {_PATIENCE:g} s there was no worker of Ray that could work: its nodes have {there}, and others may be "
                "using them; what was measured until now is kept where there is a record store"
            )

    def _has_begun(self) -> bool:
        """Return whether any worker has a process, in which it may be loading its model."""
        ray = import_ray()
        alive = [member.actor.where.remote() for member in self.members]
        done, _ = ray.wait(alive, timeout=0.5) if alive else ([], [])
        return bool(done)
