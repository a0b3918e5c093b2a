"""Shards computed by workers of Ray, on this machine or on a cluster.

A worker is an actor that holds the model. It has at most two pieces of work at a time, so that the next is there when
one is done; what it measures is sent back, and this process alone writes to the record store, each shard once. Or, by
`records:store`, it writes whole shards to a store on a shared folder, from which this process takes them. The work of a
worker that is lost is given to others, and a new worker is started where there is room for one.

On paper, for 50 million images under 20 views on 100 GPUs, the first bottleneck is this process: it holds 48 bytes a
record (48 GB), and takes in some 20 shards of 512 images a second (45 ms each, of which 28 ms are the commit), which is
what 100 GPUs give that do a hundred such images a second each. Beyond that, or with `images:pixels` beyond one such GPU
for each of its cores (8 ms to decode an image), several runs share the images by rank through one store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NoReturn

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.executor import Workload
from robustcheck.evaluation.shards import Place, Shard, ShardRecords, ShardTask
from robustcheck.executors.ray.actor import OWN, Failure, Measured, identity, place_of
from robustcheck.executors.ray.chunks import PIECES, Job
from robustcheck.executors.ray.cluster import import_ray, join
from robustcheck.executors.ray.payload import Load, pack, pixels_of
from robustcheck.executors.ray.pool import Crew, Member, Task
from robustcheck.executors.ray.remote import records_of
from robustcheck.options.workers import WorkerOptions

_AT_ONCE = 2
"""Pieces that a worker has."""
_MOST_LOSSES = 3
"""A piece that so many workers were lost with is not given to another."""


@dataclass(frozen=True)
class Shipped:
    """An evaluation in Ray's object store, from where workers have it."""

    classifier: Any
    rest: Any
    sends_pixels: bool
    since: str | None
    """That of the record store to which workers write; None where they send records."""


class RayExecutor:
    """The workers of one pytest run, started when they are first needed; see `robustcheck.evaluation.executor`.

    `load` loads the classifier by its spec, for one that can't be pickled. `say` is told, in a line, what a user
    should know. A shared folder shows what another machine wrote `visible_within` so many seconds.
    """

    def __init__(
        self,
        address: str | None = None,
        options: WorkerOptions | None = None,
        *,
        load: Load | None = None,
        say: Callable[[str], object] = print,
        visible_within: float = 30.0,
    ) -> None:
        self.address, self.options = address, options or WorkerOptions()
        self.load, self.say, self.visible_within = load, say, visible_within
        self._crew: Crew | None = None
        self._joined = False
        """Whether Ray was started or joined by this."""
        self._job: Job | None = None
        self._shipments: dict[Workload, Shipped] = {}
        self._identities: dict[Workload, Mapping[str, str]] = {}
        self._failed_starts = 0

    # ------------------------------------------------------------------------------------- what is asked

    def prepare(self, work: Workload) -> Place | None:
        """Return where the workers are; None on this machine, where nothing need be started to know the device."""
        if self.address is None and self.options.gpus is None:
            return None
        return self._start(work)

    def run(
        self, work: Workload, tasks: Iterable[ShardTask], ahead: Iterable[ShardTask]
    ) -> Generator[ShardRecords, None, None]:
        """Yield the records of some tasks, whole shards in order; others are computed meanwhile."""
        if self._job is None or self._job.work is not work:
            self.cancel_pending()
            self._job = Job(work, 1 if self.options.records == "store" else PIECES)
        job, tasks = self._job, [*tasks]
        job.upcoming = chain(tasks, ahead)
        for task in tasks:
            left: ShardTask | None = task
            if not job.has(task.shard):
                loaded, left = work.load(replace(task, stop=task.shard.stop))
                yield from loaded
            if left:
                yield from (fetched := self._fetched(work, left))
                left = _without(left, fetched)
            if left:  # it was given out ahead, without what the store had of it
                loaded, left = work.load(left)
                yield from loaded
            if left:  # which was of no use
                yield from self._fetched(work, left)

    def _fetched(self, work: Workload, task: ShardTask) -> list[ShardRecords]:
        """Return the records of a task's shard, under its views or those under which it was given out before."""
        place, job = self._start(work), self._job
        assert job is not None  # noqa: S101 - `run` has made it
        job.want(task.shard, task.views)
        while not job.is_there(task.shard):
            self._give_out(job)
            self._turn(work)
        self._give_out(job)
        return records_of(work, task.shard, job.take(task.shard), place, self.visible_within)

    def _start(self, work: Workload) -> Place:
        """Have workers that hold an evaluation; raises `RobustcheckError` where there is no room for any."""
        if work not in self._identities:
            if self._crew is None:
                self._joined = join(self.address)
                self._crew = Crew(self.options, work.runner.classifier.device)
                self._crew.check_room()
            self._shipments[work] = self._ship(work)
            while work not in self._identities:
                self._turn(work)
        return place_of(self._identities[work])

    def cancel_pending(self) -> None:
        """Take back what no worker has begun; what one is at is committed when it is there."""
        for member in self.members:
            for ref in [ref for ref, task in member.flights.items() if task is not None][1:]:
                import_ray().cancel(ref)

    def close(self) -> None:
        """Keep what is there, end the workers, and Ray where it was started or joined here."""
        if self._crew is not None:
            with suppress(RobustcheckError, import_ray().exceptions.RayError):
                while self._arrive_any(0):
                    pass
            self._crew.dismiss_all()
        if self._joined:
            import_ray().shutdown()
        self._crew, self._joined, self._job = None, False, None
        self._shipments.clear()
        self._identities.clear()

    @property
    def members(self) -> list[Member]:
        """Those who are there, or about to be."""
        return [] if self._crew is None else self._crew.members

    # ------------------------------------------------------------------------------------------ the work

    def _ship(self, work: Workload) -> Shipped:
        ray, store = import_ray(), work.checkpoint.store
        shipment = pack(work, self.options, ray.cloudpickle, self.load)
        sent = (
            shipped.classifier
            for other, shipped in self._shipments.items()
            if other.runner.classifier is work.runner.classifier
        )
        return Shipped(
            next(sent, None) or ray.put(shipment.classifier),
            ray.put(shipment.rest),
            shipment.sends_pixels,
            store.since if store is not None and self.options.records == "store" else None,
        )

    def _turn(self, work: Workload) -> None:
        """Have workers hold an evaluation, and take in what comes, after a second at the latest."""
        assert self._crew is not None  # noqa: S101 - it was prepared
        self._crew.fill()
        for member in self.members:
            is_free = (member.is_ready or member.work is None) and not member.flights
            if member.work is not work and is_free:
                member.work, member.is_ready = work, False
                shipped = self._shipments[work]
                member.flights[member.actor.set_up.remote(shipped.classifier, shipped.rest)] = None
        if not any(member.flights for member in self.members):
            time.sleep(0.1)
        else:
            self._arrive_any(1.0)
        held = [member.work for member in self.members]
        for other in [other for other in self._shipments if other is not work and other not in held]:
            del self._shipments[other]  # which holds its model
            self._identities.pop(other, None)

    def _give_out(self, job: Job) -> None:
        for count in range(_AT_ONCE):  # the first to all before the second to any
            for member in self.members:
                if member.work is job.work and member.is_ready and len(member.flights) == count:
                    piece = job.next_piece()
                    if piece is None:
                        return
                    self._send(member, job, piece)

    def _send(self, member: Member, job: Job, piece: Shard) -> None:
        shipped, checkpoint = self._shipments[job.work], job.work.checkpoint
        rows = job.work.order[piece.start : piece.stop]
        pixels = pixels_of(job.work.images, rows) if shipped.sends_pixels else None
        views = [str(view) for view in job.views_of(piece)]
        is_theirs = checkpoint.store is not None and checkpoint.store.since == shipped.since
        study = checkpoint.config_digest if is_theirs else None
        asked = member.actor.compute.remote(views, piece.start, piece.stop, pixels, study)
        member.flights[asked] = (job, piece)

    # ------------------------------------------------------------------------------------ what comes back

    def _arrive_any(self, timeout: float) -> bool:
        whose = {ref: member for member in self.members for ref in member.flights}
        done = import_ray().wait([*whose], num_returns=1, timeout=timeout)[0] if whose else []
        for ref in done:
            self._arrive(whose[ref], ref)
        return bool(done)

    def _arrive(self, member: Member, ref: Any) -> None:
        errors = import_ray().exceptions
        try:
            result = import_ray().get(ref)
        except errors.TaskCancelledError:
            result = None
        except errors.RayTaskError as error:
            raise RobustcheckError(f"a worker of Ray failed: {error.cause or error}") from None
        except errors.RayError as error:
            self._lose(member, error)
            return
        task = member.flights.pop(ref)
        if isinstance(result, Failure):
            self._fail(member, task, result)
        elif task is None:
            self._welcome(member, result)
        elif result is None:
            task[0].put_back([task[1]])
        else:
            self._take_in(*task, result)

    def _take_in(self, job: Job, piece: Shard, measured: Measured) -> None:
        """Have a job take in a piece; what is wrong with one that nobody asks for any more is nobody's."""
        try:
            job.add(piece, measured)
        except RobustcheckError as error:
            if job is self._job:
                self._give_up(str(error))

    def _fail(self, member: Member, task: Task | None, failure: Failure) -> None:
        """Raise what a worker says went wrong, unless nobody asks for it any more."""
        is_wanted = task[0] is self._job if task else member.work in self._shipments
        if task is None:
            member.work = None
        if is_wanted:
            self._give_up(f"{failure.message}\n(told by a worker of Ray on {failure.where})")

    def _welcome(self, member: Member, told: Mapping[str, str]) -> None:
        """Give work to a worker that is ready, once it is found to be like this process, and like the others."""
        work = member.work
        assert work is not None  # noqa: S101 - it was asked to hold it
        own = identity(work.runner.classifier, work.images, work.runner.config)
        for name in told.keys() - {*OWN, "kind", "host"}:
            if told[name] != own[name]:
                raise RobustcheckError(
                    f"{name}: {told[name]} on a worker of Ray, and {own[name]} here: their numbers can't stand in one table; "
                    "install the same there, and see that it loads the same weights"
                )
        first = self._identities.setdefault(work, told)
        if first["kind"] != told["kind"]:
            self.say(
                f"workers of Ray differ ({first['kind']}; {told['kind']}): numbers may differ in the last digits from those "
                "of workers that are alike, and what the second measure is not kept in the record store"
            )
        member.is_ready = True
        self._failed_starts = 0

    def _lose(self, member: Member, error: Exception) -> None:
        """Give the work of a worker that is lost to others."""
        assert self._crew is not None  # noqa: S101 - it had a member
        self._crew.dismiss(member)
        if not member.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_LOSSES:
                raise RobustcheckError(f"workers of Ray are lost as they start: {str(error).strip()}")
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        then = "what it had was given to others" if member.tasks else "it had nothing to do yet"
        self.say(f"a worker of Ray was lost ({why[:150]}); {then}")
        for job, piece in reversed(member.tasks):
            job.put_back([piece])
        if member.tasks:
            self._blame(*member.tasks[0])

    def _blame(self, job: Job, piece: Shard) -> None:
        """Count the loss of a worker against what it was at, unless nobody asks for that any more."""
        job.losses[piece.start] += 1
        if job is self._job and job.losses[piece.start] >= _MOST_LOSSES:
            names = [job.work.images.names[row] for row in job.work.order[piece.start : piece.stop]]
            self._give_up(
                f"{_MOST_LOSSES} workers of Ray were lost while they were at the images {names[0]} to {names[-1]} "
                f"({len(names)} of them, from {piece.start} in the order): something in them, or their size in memory, ends the "
                "process. Leave Ray out to see how; a smaller --robustcheck-batch-size needs less memory"
            )

    def _give_up(self, why: str) -> NoReturn:
        """End the job: what has not begun is taken back, and what comes of the rest is nobody's."""
        self.cancel_pending()
        self._job = None
        raise RobustcheckError(why)


def _without(task: ShardTask, fetched: Iterable[ShardRecords]) -> ShardTask | None:
    """Return what is left of a task whose whole shard was measured under some views."""
    there = {view for records in fetched for view in records.columns}
    missing = {view: start for view, start in task.missing.items() if view not in there}
    return replace(task, missing=missing, batches=()) if missing else None
