"""Chunks given to the actors that hold one classifier, and what comes back of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.executor import Workload
from robustcheck.evaluation.shards import Shard
from robustcheck.executors.ray.actor import MAY_DIFFER, ChunkResult, Failure, identity
from robustcheck.executors.ray.cluster import import_ray
from robustcheck.executors.ray.payload import pixels_of
from robustcheck.executors.ray.pool import MAX_LOSSES, ActorHandle, ActorPool
from robustcheck.executors.ray.scheduler import ShardScheduler
from robustcheck.text import first_line

_AT_ONCE = 2
"""Chunks that a worker has."""
_RETRY_AFTER = 0.5
"""Seconds before a worker that died is asked again: until Ray has noticed a lost node, each call to it fails at once."""


@dataclass
class SentEvaluation:
    """An evaluation in Ray's object store."""

    data: Any
    """The reference from which workers make it."""
    sends_pixels: bool
    store_run: str | None
    """The `run` of the record store to which they write; None if they send records."""
    identity: Mapping[str, str] | None = None
    """That of the first worker that was ready."""
    kinds: set[str] = field(default_factory=set)


class Dispatcher:
    """Has the actors of a pool compute the shards of one evaluation at a time."""

    def __init__(self, pool: ActorPool, *, say: Callable[[str], object]) -> None:
        self.pool: ActorPool = pool
        self.say: Callable[[str], object] = say
        self.sent: dict[Workload, SentEvaluation] = {}
        self._scheduler: ShardScheduler | None = None
        """Of the evaluation whose records are asked for; what comes of others is dropped."""

    def identity_of(self, work: Workload) -> Mapping[str, str]:
        """Return the identity of the first worker that holds an evaluation, once there is one."""
        while (first := self.sent[work].identity) is None:
            self._turn(work)
        return first

    def compute(self, scheduler: ShardScheduler, shard: Shard) -> None:
        """Return once a shard is complete; what the scheduler has beside it is computed meanwhile."""
        self._scheduler = scheduler
        while not scheduler.is_complete(shard):
            self._give_out(scheduler)
            self._turn(scheduler.work)
        self._give_out(scheduler)

    def cancel_pending(self) -> None:
        """Take back what no worker has begun.

        What one is computing is committed when it comes, unless another evaluation was asked for by then.
        """
        for handle in self.pool.handles:
            for ref in [ref for ref, chunk in handle.pending.items() if chunk is not None][1:]:
                import_ray().cancel(ref)

    def drain(self) -> None:
        """Take the results that are there."""
        while self._receive(0):
            pass

    def _turn(self, work: Workload) -> None:
        """Have workers hold an evaluation, and take what comes within a second."""
        self.pool.fill()
        for handle in self.pool.handles:
            if handle.work is not work and not handle.pending and time.monotonic() >= handle.free_at:
                handle.work, handle.is_ready = work, False
                handle.pending[handle.actor.prepare.remote(self.sent[work].data)] = None
        held = {work, *(handle.work for handle in self.pool.handles)}
        self.sent = {other: sent for other, sent in self.sent.items() if other in held}
        if not self._receive(1.0):
            time.sleep(0.1)  # without anything pending it returns at once

    def _give_out(self, scheduler: ShardScheduler) -> None:
        for count in range(_AT_ONCE):  # the first to all before the second to any
            for handle in self.pool.handles:
                if handle.work is scheduler.work and handle.is_ready and len(handle.pending) == count:
                    chunk = scheduler.next_chunk()
                    if chunk is None:
                        return
                    self._send(handle, scheduler, chunk)

    def _send(self, handle: ActorHandle, scheduler: ShardScheduler, chunk: Shard) -> None:
        work = scheduler.work
        sent, checkpoint = self.sent[work], work.checkpoint
        pixels = pixels_of(work.images, work.order[chunk.start : chunk.stop]) if sent.sends_pixels else None
        views = [str(view) for view in scheduler.views_of(chunk)]
        is_shared = checkpoint.store is not None and checkpoint.store.run == sent.store_run
        digest = checkpoint.config_digest if is_shared else None
        ref = handle.actor.compute.remote(views, chunk.start, chunk.stop, pixels, digest)
        handle.pending[ref] = chunk

    def _receive(self, timeout: float) -> bool:
        """Take the first result that comes in time; return whether there was one."""
        owners = {ref: handle for handle in self.pool.handles for ref in handle.pending}
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
            self._fail(str(result))
        try:
            scheduler.add(chunk, result)
        except RobustcheckError as error:
            self._fail(str(error))

    def _scheduler_of(self, handle: ActorHandle) -> ShardScheduler | None:
        scheduler = self._scheduler
        return scheduler if scheduler is not None and scheduler.work is handle.work else None

    def _put_back(self, handle: ActorHandle, chunks: list[Shard | None]) -> None:
        if scheduler := self._scheduler_of(handle):
            scheduler.put_back([chunk for chunk in chunks if chunk is not None])

    def _on_prepared(self, handle: ActorHandle, own: Mapping[str, str] | Failure) -> None:
        """Give work to a worker from now on, if its records are those that this process would compute."""
        work = handle.work
        assert work is not None  # noqa: S101 - it was asked to hold it
        if isinstance(own, Failure):
            handle.work = None
            self._fail(str(own))
        here = identity(work.runner.classifier, work.images, work.runner.config)
        for name in own.keys() - {*MAY_DIFFER}:
            if own[name] != here[name]:
                raise RobustcheckError(
                    f"{name}: {own[name]} on a worker of Ray, and {here[name]} here: results from mismatched workers cannot be "
                    "combined; install the same versions there, and see that it loads the same weights"
                )
        sent = self.sent[work]
        sent.identity = sent.identity or own
        first = sent.identity["kind"]
        if own["kind"] not in {first, *sent.kinds}:
            self.say(
                f"workers of Ray differ ({first}; {own['kind']}): numbers may differ in the last digits from those of "
                "workers that are alike, and what the second measure is not kept in the record store"
            )
        sent.kinds.add(own["kind"])
        handle.is_ready = handle.was_ready = True

    def _on_death(self, handle: ActorHandle, ref: Any, error: Exception) -> None:
        """Give the chunks of a worker that died to others; Ray restarts it, or it is replaced."""
        scheduler, was_preparing = self._scheduler_of(handle), handle.pending[ref] is None
        chunks = handle.reset()
        handle.free_at = time.monotonic() + _RETRY_AFTER
        is_final = isinstance(error, import_ray().exceptions.ActorDiedError) and was_preparing
        if is_final:
            self.pool.remove(handle)
            if not handle.was_ready:
                raise RobustcheckError(f"workers of Ray die as they start: {str(error).strip()}")
        if not chunks:
            return
        self.say(f"a worker of Ray died ({first_line(error, 150)}); its images were given to others")
        if scheduler is not None:
            scheduler.put_back(chunks)
            scheduler.failures[chunks[0].start] += 1
            if scheduler.failures[chunks[0].start] >= MAX_LOSSES:
                self._fail(_died_on(scheduler.work, chunks[0]))

    def _fail(self, message: str) -> NoReturn:
        """Stop computing: what has not begun is taken back, and what comes of the rest is dropped."""
        self.cancel_pending()
        self._scheduler = None
        raise RobustcheckError(message)


def _died_on(work: Workload, chunk: Shard) -> str:
    names = [work.images.names[row] for row in work.order[chunk.start : chunk.stop]]
    return (
        f"{MAX_LOSSES} workers of Ray died while they computed the images {names[0]} to {names[-1]} "
        f"({len(names)} of them, from {chunk.start} in the order): something in them, or their size in memory, ends the "
        "process. Leave Ray out to see how; a smaller --robustcheck-batch-size needs less memory"
    )
