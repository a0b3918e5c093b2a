"""Shards computed by workers of Ray, on this machine or on a cluster.

A worker is an actor that holds the model. It has at most two pieces of work at a time, so that the next is there when
one is done; what it measures is sent back, and this process alone writes to the record store, each shard once. The work
of a worker that is lost is given to others, and a new worker is started where there is room for one.

On paper, for 50 million images under 20 views on 100 GPUs, the first bottleneck is this process: it holds 48 bytes a
record (48 GB), and takes in some 20 shards of 512 images a second (45 ms each, of which 28 ms are the commit), which is
what 100 GPUs give that do a hundred such images a second each. Beyond that, or with `images:pixels` beyond one such GPU
for each of its cores (8 ms to decode an image), several runs share the images by rank through one store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.engine import Evaluation
from robustcheck.evaluation.keeping import Shard
from robustcheck.evaluation.pieces import Job
from robustcheck.evaluation.ray_cluster import CPU, GPU, has_free, import_ray, join, room_for
from robustcheck.evaluation.ray_worker import OWN, Failure, Worker, actor_options, identity
from robustcheck.evaluation.shipping import Load, pack, pixels_of
from robustcheck.evaluation.workers import Measured, WorkerOptions
from robustcheck.notation import View

_AT_ONCE = 2
"""Pieces that a worker has."""
_MOST_LOSSES = 3
"""A piece that so many workers were lost with is not given to another."""
_LOOK_EVERY = 2.0
"""Seconds after which is looked for nodes that came or went."""
PATIENCE = 60.0
"""Seconds without any worker that could work."""


@dataclass(eq=False)
class _Member:
    """One worker."""

    actor: Any
    evaluation: Evaluation | None = None
    """The one that it holds, or is about to."""
    is_ready: bool = False
    work: dict[Any, Shard] = field(default_factory=dict)
    """The pieces that it has, the first of which it is at, by what stands for their results."""


@dataclass(frozen=True)
class _Flight:
    """What was asked of a worker: a piece of a job, or, without one, to make ready."""

    member: _Member
    task: tuple[Job, Shard] | None = None


class RayWorkers:
    """The workers of one pytest run, started when they are first needed; see `robustcheck.evaluation.workers`.

    `load` loads the classifier by its spec, for one that can't be pickled. `say` is told, in a line, what a user
    should know.
    """

    def __init__(
        self,
        address: str | None = None,
        options: WorkerOptions | None = None,
        *,
        load: Load | None = None,
        say: Callable[[str], object] = print,
    ) -> None:
        self.address, self.options = address, options or WorkerOptions()
        self.load, self.say = load, say
        self._joined: bool | None = None
        self._members: list[_Member] = []
        self._flights: dict[Any, _Flight] = {}
        self._job: Job | None = None
        self._shipments: dict[Evaluation, tuple[Any, Any, bool]] = {}
        self._identities: dict[Evaluation, Mapping[str, str]] = {}
        self._looked = self._worked = 0.0
        self._failed_starts = 0

    @property
    def are_here(self) -> bool:
        """Whether they run on this machine, on the same device."""
        return self.address is None and self.options.gpus is None

    # ------------------------------------------------------------------------------------- what is asked

    def prepare(self, evaluation: Evaluation) -> None:
        """Start the workers, and wait for the first; raises `RobustcheckError` where there is no room for them."""
        if evaluation in self._identities:
            return
        if self._joined is None:
            self._joined = join(self.address)
        if not self._members:
            self._check_room(self._needs(evaluation))
        self._shipments[evaluation] = self._ship(evaluation)
        self._worked = time.monotonic()
        while evaluation not in self._identities:
            self._staff(evaluation)
            self._collect(evaluation)

    def expects(self, evaluation: Evaluation, views: tuple[View, ...], shard: Shard) -> bool:
        """Return whether a shard was given out on the way to an earlier one."""
        return self._is_at(evaluation, views) and self._job is not None and self._job.has(shard)

    def fetch(
        self,
        evaluation: Evaluation,
        views: tuple[View, ...],
        lacking: tuple[View, ...],
        shard: Shard,
        until: int,
    ) -> Measured:
        """Return a shard, measured; others up to the image `until` are computed meanwhile."""
        self.prepare(evaluation)
        if not self._is_at(evaluation, views):
            self.rest()
            self._job = Job(evaluation, views)
        job = self._job
        assert job is not None  # noqa: S101 - by the lines above
        job.until = until
        job.want(shard, lacking)
        while not job.is_there(shard):
            self._staff(evaluation)
            self._give_out(job)
            self._collect(evaluation)
        self._give_out(job)
        return job.take(shard)

    def rest(self) -> None:
        """Take back what no worker has begun; what one is at is kept when it is there."""
        for member in self._members:
            for ref in [*member.work][1:]:
                import_ray().cancel(ref)

    def close(self) -> None:
        """Keep what is there, end the workers, and Ray where it was started or joined here."""
        if self._joined is None:
            return
        ray = import_ray()
        with suppress(RobustcheckError, ray.exceptions.RayError):
            while self._flights and self._arrive_any(0):
                pass
        for member in self._members:
            ray.kill(member.actor)
        self._members.clear()
        self._flights.clear()
        self._shipments.clear()
        if self._joined:
            ray.shutdown()
        self._joined, self._job = None, None
        self._identities.clear()

    # --------------------------------------------------------------------------------------- the workers

    def _needs(self, evaluation: Evaluation) -> dict[str, float]:
        gpus = self.options.gpus
        if gpus is None:
            gpus = float(evaluation.classifier.device.type == "cuda")
        return {CPU: self.options.cpus, GPU: gpus}

    def _check_room(self, needs: Mapping[str, float]) -> None:
        room, there = room_for(needs)
        count = self.options.count
        if room and (count is None or count <= room):
            return
        asked = f"{needs[CPU]:g} CPUs and {needs[GPU]:g} GPUs"
        many = "" if count is None else f"{count} "
        raise RobustcheckError(
            f"there is no room for {many}workers of {asked} each, and Ray would wait for ever: its nodes have {there}, "
            f"which is room for {room}. Ask for fewer or smaller ones: --robustcheck-worker-options=cpus:1,gpus:0"
        )

    def _ship(self, evaluation: Evaluation) -> tuple[Any, Any, bool]:
        ray = import_ray()
        shipment = pack(evaluation, self.options, ray.cloudpickle, self.load)
        classifier = next(
            (
                sent
                for other, (sent, *_) in self._shipments.items()
                if other.classifier is evaluation.classifier
            ),
            None,
        )
        return classifier or ray.put(shipment.classifier), ray.put(shipment.rest), shipment.sends_pixels

    def _staff(self, evaluation: Evaluation) -> None:
        """Have as many workers as there is room for, and each hold the evaluation that is worked on."""
        if time.monotonic() - self._looked > _LOOK_EVERY:
            self._looked = time.monotonic()
            room, there = room_for(self._needs(evaluation))
            for member in [member for member in self._members if not member.is_ready]:
                if len(self._members) > room:
                    self._dismiss(member)
            while len(self._members) < min(room, self.options.count or room):
                self._members.append(self._hired(evaluation))
            self._check_patience(evaluation, there)
        for member in self._members:
            is_free = member.is_ready or member.evaluation is None
            if member.evaluation is not evaluation and is_free and not member.work:
                member.evaluation, member.is_ready = evaluation, False
                classifier, rest, _ = self._shipments[evaluation]
                self._flights[member.actor.set_up.remote(classifier, rest)] = _Flight(member)

    def _check_patience(self, evaluation: Evaluation, there: str) -> None:
        needs = self._needs(evaluation)
        placed = self._members and has_free(needs)
        if any(member.is_ready for member in self._members) or placed:
            self._worked = time.monotonic()
        elif time.monotonic() - self._worked > PATIENCE and not self._has_begun():
            raise RobustcheckError(
                f"for {PATIENCE:g} s there was no worker of Ray that could work: its nodes have {there}, and others may be "
                "using them; what was measured until now is kept where there is a record store"
            )

    def _has_begun(self) -> bool:
        """Return whether any worker has a process, in which it may be loading its model."""
        ray = import_ray()
        alive = [member.actor.where.remote() for member in self._members]
        done, _ = ray.wait(alive, timeout=0.5) if alive else ([], [])
        return bool(done)

    def _hired(self, evaluation: Evaluation) -> _Member:
        needs, device = self._needs(evaluation), evaluation.classifier.device
        there = "cuda" if needs[GPU] else "cpu" if device.type == "cuda" else str(device)
        hiring = import_ray().remote(Worker).options(**actor_options(self.options.cpus, needs[GPU]))
        return _Member(hiring.remote(self.options.cpus, there))

    def _dismiss(self, member: _Member) -> None:
        self._members.remove(member)
        for ref in [ref for ref, flight in self._flights.items() if flight.member is member]:
            del self._flights[ref]
        with suppress(import_ray().exceptions.RayError):
            import_ray().kill(member.actor)

    # ------------------------------------------------------------------------------------------ the work

    def _is_at(self, evaluation: Evaluation, views: tuple[View, ...]) -> bool:
        job = self._job
        return job is not None and job.evaluation is evaluation and job.views == views

    def _give_out(self, job: Job) -> None:
        for count in range(_AT_ONCE):  # the first to all before the second to any
            for member in self._members:
                if member.evaluation is job.evaluation and member.is_ready and len(member.work) == count:
                    piece = job.next_piece()
                    if piece is None:
                        return
                    self._send(member, job, piece)

    def _send(self, member: _Member, job: Job, piece: Shard) -> None:
        rows = job.evaluation.order[piece.start : piece.stop]
        pixels = pixels_of(job.evaluation, rows) if self._shipments[job.evaluation][2] else None
        views = [str(view) for view in job.views_of(piece)]
        ref = member.actor.compute.remote(views, piece.start, piece.stop, pixels)
        member.work[ref] = piece
        self._flights[ref] = _Flight(member, (job, piece))

    def _collect(self, evaluation: Evaluation) -> None:
        """Take in what comes, after a second at the latest."""
        if not self._flights:
            time.sleep(0.1)
            self._looked = 0.0
        else:
            self._arrive_any(1.0)
        for other in [*self._shipments]:  # those that are done with hold their models
            if other is not evaluation and not any(member.evaluation is other for member in self._members):
                del self._shipments[other]
                self._identities.pop(other, None)

    def _arrive_any(self, timeout: float) -> bool:
        done, _ = import_ray().wait([*self._flights], num_returns=1, timeout=timeout)
        for ref in done:
            self._arrive(ref)
        return bool(done)

    def _arrive(self, ref: Any) -> None:
        errors = import_ray().exceptions
        flight = self._flights[ref]
        try:
            result = import_ray().get(ref)
        except errors.TaskCancelledError:
            result = None
        except errors.RayTaskError as error:
            raise RobustcheckError(f"a worker of Ray failed: {error.cause or error}") from None
        except errors.RayError as error:
            self._lose(flight.member, error)
            return
        del self._flights[ref]
        flight.member.work.pop(ref, None)
        if isinstance(result, Failure):
            self._fail(flight, result)
            return
        if flight.task is None:
            self._welcome(flight.member, result)
            return
        job, piece = flight.task
        if result is None:
            job.put_back([piece])
        else:
            job.add(piece, result)

    def _fail(self, flight: _Flight, failure: Failure) -> None:
        """Raise what a worker says went wrong, unless nobody asks for it any more."""
        job = flight.task[0] if flight.task else None
        is_wanted = job is self._job if job else flight.member.evaluation in self._shipments
        if job is None:
            flight.member.evaluation = None
        if is_wanted:
            self.rest()
            self._job = None
            raise RobustcheckError(f"{failure.message}\n(told by a worker of Ray on {failure.where})")

    def _welcome(self, member: _Member, told: Mapping[str, str]) -> None:
        """Give work to a worker that is ready, once it is found to be like this process, and like the others."""
        evaluation = member.evaluation
        assert evaluation is not None  # noqa: S101 - it was asked to hold it
        own = identity(evaluation)
        for name in told.keys() - {*OWN, "kind"}:
            if told[name] != own[name]:
                raise RobustcheckError(
                    f"{name}: {told[name]} on a worker of Ray, and {own[name]} here: their numbers can't stand in one table; "
                    "install the same there, and see that it loads the same weights"
                )
        first = self._identities.setdefault(evaluation, told)
        if first is told:
            evaluation.work_as(told)
        elif first["kind"] != told["kind"]:
            self.say(
                f"workers of Ray differ ({first['kind']}; {told['kind']}): numbers may differ in the last digits from those "
                "of workers that are alike, and what the second measure is not kept in the record store"
            )
        member.is_ready = True
        self._failed_starts = 0

    def _lose(self, member: _Member, error: Exception) -> None:
        """Give the work of a worker that is lost to others."""
        flights = [flight for flight in self._flights.values() if flight.member is member]
        given = [flight.task for flight in flights if flight.task is not None]
        started = member.is_ready
        self._dismiss(member)
        self._looked = 0.0
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if not started:
            self._failed_starts += 1
            if self._failed_starts > _MOST_LOSSES:
                raise RobustcheckError(f"workers of Ray are lost as they start: {str(error).strip()}")
            return
        self.say(f"a worker of Ray was lost ({why[:150]}); what it had was given to others")
        if given:
            self._blame(*given[0])
        for job, piece in reversed(given):
            job.put_back([piece])

    def _blame(self, job: Job, piece: Shard) -> None:
        """Count the loss of a worker against what it was at."""
        job.losses[piece.start] += 1
        if job.losses[piece.start] >= _MOST_LOSSES:
            names = [
                job.evaluation.images.names[row] for row in job.evaluation.order[piece.start : piece.stop]
            ]
            raise RobustcheckError(
                f"{_MOST_LOSSES} workers of Ray were lost while they were at the images {names[0]} to {names[-1]} "
                f"({len(names)} of them, from {piece.start} in the order): something in them, or their size in memory, ends the "
                "process. Leave Ray out to see how; a smaller --robustcheck-batch-size needs less memory"
            )
