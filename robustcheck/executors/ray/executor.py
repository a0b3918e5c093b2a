"""Shards computed by workers of Ray, on this machine or on a cluster.

A worker is an actor that loads the model when it is made, and again when Ray restarts it. It has at most two chunks of
a shard at a time, so that the next is there when one is done. What it measures is sent back, and this process alone
writes to the record store, each shard once; or, with `records:store`, it writes whole shards to a store on a shared
folder, from which this process reads them. The chunks of a worker that died are given to others. Ray's own retries of
tasks (`max_task_retries`) are not used: a node that is lost uses them up before Ray has noticed, without any image
having been computed, so that they can't tell images that kill a process from a machine that went away.

On paper, for 50 million images under 20 views on 100 GPUs, the first bottleneck is this process: it holds 48 bytes a
record (48 GB), and takes in some 20 shards of 512 images a second (45 ms each, of which 28 ms are the commit), which is
what 100 GPUs give that do a hundred such images a second each. Beyond that, or with `images:pixels` beyond one such GPU
for each of its cores (8 ms to decode an image), several runs share the images by rank through one store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NoReturn

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.executor import Workload
from robustcheck.evaluation.shards import Place, Shard, ShardRecords, ShardTask
from robustcheck.executors.ray.actor import MAY_DIFFER, ChunkResult, Failure, identity, place_of
from robustcheck.executors.ray.cluster import import_ray, join
from robustcheck.executors.ray.payload import Load, pixels_of, serialize_classifier, serialize_evaluation
from robustcheck.executors.ray.pool import ActorHandle, ActorPool
from robustcheck.executors.ray.scheduler import CHUNKS, ShardScheduler
from robustcheck.models import Classifier
from robustcheck.options.workers import WorkerOptions
from robustcheck.text import first_line

_AT_ONCE = 2
"""Chunks that a worker has."""


@dataclass
class _Prepared:
    """An evaluation that workers hold."""

    data: Any
    """The reference from which they make it."""
    sends_pixels: bool
    store_since: str | None
    """The `since` of the record store to which they write; None if they send records."""
    identity: Mapping[str, str] | None = None
    """That of the first worker that is ready."""
    kinds: set[str] = field(default_factory=set)


class RayExecutor:
    """The workers of one pytest run, started when they are first needed; see `robustcheck.evaluation.executor`.

    `load` loads the classifier by its spec, for one that can't be pickled. `say` is called with each line that a user
    should read. Images on which `max_losses` workers died end the run. A shared folder shows what another machine wrote
    within `visible_within` seconds.
    """

    def __init__(
        self,
        address: str | None = None,
        options: WorkerOptions | None = None,
        *,
        load: Load | None = None,
        say: Callable[[str], object] = print,
        max_losses: int = 3,
        visible_within: float = 30.0,
    ) -> None:
        self.address, self.options = address, options or WorkerOptions()
        self.load, self.say, self.max_losses, self.visible_within = load, say, max_losses, visible_within
        self._joined = False
        """Whether Ray was started or joined by this."""
        self._pool: ActorPool | None = None
        self._classifier: Classifier | None = None
        """The one that the actors of the pool hold."""
        self._prepared: dict[Workload, _Prepared] = {}
        self._scheduler: ShardScheduler | None = None
        """The evaluation whose records are asked for."""

    @property
    def handles(self) -> list[ActorHandle]:
        """The actors that there are, ready or not."""
        return [] if self._pool is None else self._pool.handles

    # ------------------------------------------------------------------------------------- the protocol

    def prepare(self, work: Workload) -> Place | None:
        """Return where the workers are; None on this machine, where they need not be started to know the device."""
        if self.address is None and self.options.gpus is None:
            return None
        self._start(work)
        while (first := self._prepared[work].identity) is None:
            self._turn(work)
        return place_of(first)

    def run(
        self, work: Workload, tasks: Iterable[ShardTask], ahead: Iterable[ShardTask]
    ) -> Generator[ShardRecords, None, None]:
        """Yield the records of some tasks, whole shards in order; others are computed meanwhile."""
        if self._scheduler is None or self._scheduler.work is not work:
            self.cancel_pending()
            self._scheduler = ShardScheduler(work, chunks=1 if self.options.records == "store" else CHUNKS)
        scheduler, tasks = self._scheduler, [*tasks]
        scheduler.upcoming = chain(tasks, ahead)
        for task in tasks:
            left: ShardTask | None = task
            if not scheduler.has(task.shard):
                loaded, left = work.load(replace(task, stop=task.shard.stop))
                yield from loaded
            if left:
                yield from (computed := self._compute(scheduler, left))
                left = _without(left, computed)
            if left:  # it was given out ahead, without what the store had of it
                loaded, left = work.load(left)
                yield from loaded
            if left:  # which did not agree with the model
                yield from self._compute(scheduler, left)

    def cancel_pending(self) -> None:
        """Take back what no worker has begun; what one is computing is committed when it comes."""
        for handle in self.handles:
            for ref in [ref for ref, chunk in handle.pending.items() if chunk is not None][1:]:
                import_ray().cancel(ref)

    def close(self) -> None:
        """Commit what has come, end the workers, and Ray if it was started or joined here."""
        if self._pool is not None:
            with suppress(RobustcheckError, import_ray().exceptions.RayError):
                while self._receive(0):
                    pass
        self._close_pool()
        if self._joined:
            import_ray().shutdown()
        self._joined = False

    # ---------------------------------------------------------------------------------------- starting

    def _start(self, work: Workload) -> None:
        """Have workers asked to hold an evaluation; raises `RobustcheckError` if there is no room for any."""
        if work in self._prepared:
            return
        ray, classifier = import_ray(), work.runner.classifier
        if self._classifier is not classifier:
            self._close_pool()
            self._joined |= join(self.address)
            data = ray.put(serialize_classifier(classifier, ray.cloudpickle, self.load))
            restarts = self.max_losses - 1
            self._pool = ActorPool(self.options, classifier.device, data, restarts=restarts)
            self._classifier = classifier
        evaluation, sends_pixels = serialize_evaluation(work, self.options, ray.cloudpickle)
        store = work.checkpoint.store if self.options.records == "store" else None
        since = None if store is None else store.since
        self._prepared[work] = _Prepared(ray.put(evaluation), sends_pixels, since)

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = self._classifier = self._scheduler = None
        self._prepared.clear()

    def _turn(self, work: Workload) -> None:
        """Have workers hold an evaluation, and receive what comes within a second."""
        assert self._pool is not None  # noqa: S101 - it was started
        self._pool.fill()
        for handle in self.handles:
            if handle.work is not work and not handle.pending:
                handle.work, handle.is_ready = work, False
                handle.pending[handle.actor.prepare.remote(self._prepared[work].data)] = None
        if not self._receive(1.0):
            time.sleep(0.1)  # if nothing is pending

    # --------------------------------------------------------------------------------------- computing

    def _compute(self, scheduler: ShardScheduler, task: ShardTask) -> list[ShardRecords]:
        """Return the records of a task's shard, under its views or those under which it was given out before."""
        self._start(scheduler.work)
        scheduler.request(task.shard, task.views)
        while not scheduler.is_complete(task.shard):
            self._give_out(scheduler)
            self._turn(scheduler.work)
        self._give_out(scheduler)
        return scheduler.take(task.shard, visible_within=self.visible_within)

    def _give_out(self, scheduler: ShardScheduler) -> None:
        for count in range(_AT_ONCE):  # the first to all before the second to any
            for handle in self.handles:
                if handle.work is scheduler.work and handle.is_ready and len(handle.pending) == count:
                    chunk = scheduler.next_chunk()
                    if chunk is None:
                        return
                    self._send(handle, scheduler, chunk)

    def _send(self, handle: ActorHandle, scheduler: ShardScheduler, chunk: Shard) -> None:
        work = scheduler.work
        prepared, checkpoint = self._prepared[work], work.checkpoint
        pixels = (
            pixels_of(work.images, work.order[chunk.start : chunk.stop]) if prepared.sends_pixels else None
        )
        views = [str(view) for view in scheduler.views_of(chunk)]
        is_shared = checkpoint.store is not None and checkpoint.store.since == prepared.store_since
        digest = checkpoint.config_digest if is_shared else None
        ref = handle.actor.compute.remote(views, chunk.start, chunk.stop, pixels, digest)
        handle.pending[ref] = chunk

    # --------------------------------------------------------------------------------------- receiving

    def _receive(self, timeout: float) -> bool:
        """Take the first result that comes in time; return whether there was one."""
        owners = {ref: handle for handle in self.handles for ref in handle.pending}
        done = import_ray().wait([*owners], num_returns=1, timeout=timeout)[0] if owners else []
        for ref in done:
            self._take(owners[ref], ref)
        return bool(done)

    def _take(self, handle: ActorHandle, ref: Any) -> None:
        errors = import_ray().exceptions
        try:
            result = import_ray().get(ref)
        except errors.TaskCancelledError:
            self._put_back(handle, [handle.pending.pop(ref)])
            return
        except errors.RayTaskError as error:
            raise RobustcheckError(f"a worker of Ray failed: {error.cause or error}") from None
        except errors.RayError as error:
            self._on_death(handle, ref, error)
            return
        chunk = handle.pending.pop(ref)
        if chunk is None:
            self._on_prepared(handle, result)
        elif result is None:  # Ray has restarted it without anything having been lost
            self._put_back(handle, [chunk, *handle.reset()])
        elif scheduler := self._scheduler_of(handle):
            self._on_result(scheduler, chunk, result)

    def _on_result(self, scheduler: ShardScheduler, chunk: Shard, result: ChunkResult | Failure) -> None:
        if isinstance(result, Failure):
            self._fail(f"{result.message}\n(reported by a worker of Ray on {result.host})")
        try:
            scheduler.add(chunk, result)
        except RobustcheckError as error:
            self._fail(str(error))

    def _scheduler_of(self, handle: ActorHandle) -> ShardScheduler | None:
        """Return the scheduler of a worker's chunks; None if nobody asks for them any more."""
        scheduler = self._scheduler
        return scheduler if scheduler is not None and scheduler.work is handle.work else None

    def _put_back(self, handle: ActorHandle, chunks: Iterable[Shard | None]) -> None:
        if scheduler := self._scheduler_of(handle):
            scheduler.put_back([chunk for chunk in chunks if chunk is not None])

    def _on_prepared(self, handle: ActorHandle, own: Mapping[str, str] | Failure) -> None:
        """Give work to a worker from now on, if its records are those that this process would compute."""
        work = handle.work
        assert work is not None  # noqa: S101 - it was asked to hold it
        if isinstance(own, Failure):
            handle.work = None
            self._fail(f"{own.message}\n(reported by a worker of Ray on {own.host})")
        here = identity(work.runner.classifier, work.images, work.runner.config)
        for name in own.keys() - {*MAY_DIFFER}:
            if own[name] != here[name]:
                raise RobustcheckError(
                    f"{name}: {own[name]} on a worker of Ray, and {here[name]} here: results from mismatched workers cannot be "
                    "combined; install the same versions there, and see that it loads the same weights"
                )
        prepared = self._prepared[work]
        prepared.identity = prepared.identity or own
        first = prepared.identity["kind"]
        if own["kind"] not in {first, *prepared.kinds}:
            self.say(
                f"workers of Ray differ ({first}; {own['kind']}): numbers may differ in the last digits from those of "
                "workers that are alike, and what the second measure is not kept in the record store"
            )
        prepared.kinds.add(own["kind"])
        handle.is_ready = handle.was_ready = True

    def _on_death(self, handle: ActorHandle, ref: Any, error: Exception) -> None:
        """Give the chunks of a worker that died to others; Ray restarts it, or it is replaced."""
        assert self._pool is not None  # noqa: S101 - it has a handle
        scheduler, was_preparing = self._scheduler_of(handle), handle.pending[ref] is None
        chunks = handle.reset()
        is_final = isinstance(error, import_ray().exceptions.ActorDiedError) and was_preparing
        if is_final:
            self._pool.remove(handle)
            if not handle.was_ready:
                raise RobustcheckError(f"workers of Ray die as they start: {str(error).strip()}")
        if not chunks:
            return
        self.say(f"a worker of Ray died ({first_line(error, 150)}); its images were given to others")
        if scheduler is not None:
            scheduler.put_back(chunks)
            scheduler.failures[chunks[0].start] += 1
            if scheduler.failures[chunks[0].start] >= self.max_losses:
                self._fail_on_images(scheduler.work, chunks[0])

    def _fail_on_images(self, work: Workload, chunk: Shard) -> NoReturn:
        names = [work.images.names[row] for row in work.order[chunk.start : chunk.stop]]
        self._fail(
            f"{self.max_losses} workers of Ray died while they computed the images {names[0]} to {names[-1]} "
            f"({len(names)} of them, from {chunk.start} in the order): something in them, or their size in memory, ends the "
            "process. Leave Ray out to see how; a smaller --robustcheck-batch-size needs less memory"
        )

    def _fail(self, message: str) -> NoReturn:
        """End what is computed: what has not begun is taken back, and other results of it are ignored."""
        self.cancel_pending()
        self._scheduler = None
        raise RobustcheckError(message)


def _without(task: ShardTask, computed: Iterable[ShardRecords]) -> ShardTask | None:
    """Return what is left of a task whose whole shard was measured under some views."""
    there = {view for records in computed for view in records.columns}
    missing = {view: start for view, start in task.missing.items() if view not in there}
    return replace(task, missing=missing, batches=()) if missing else None
