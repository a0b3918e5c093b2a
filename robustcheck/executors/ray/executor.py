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

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import chain

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.executor import Workload
from robustcheck.evaluation.shards import Place, ShardRecords, ShardTask
from robustcheck.executors.ray.actor import place_of
from robustcheck.executors.ray.cluster import import_ray, join
from robustcheck.executors.ray.dispatcher import Dispatcher, SentEvaluation
from robustcheck.executors.ray.payload import Load, serialize_classifier, serialize_evaluation
from robustcheck.executors.ray.pool import ActorHandle, ActorPool
from robustcheck.executors.ray.scheduler import CHUNKS, ShardScheduler
from robustcheck.models import Classifier
from robustcheck.options.workers import WorkerOptions


class RayExecutor:
    """The workers of one pytest run, started when they are first needed; see `robustcheck.evaluation.executor`.

    `load` loads the classifier by its spec, for one that can't be pickled. `say` is called with each line that a user
    should read. A shared folder shows what another machine wrote within `visible_within` seconds.
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
        self.address: str | None = address
        self.options: WorkerOptions = options or WorkerOptions()
        self.load: Load | None = load
        self.say: Callable[[str], object] = say
        self.visible_within: float = visible_within
        self._joined = False
        """Whether Ray was started or joined by this."""
        self._dispatcher: Dispatcher | None = None
        self._classifier: Classifier | None = None
        """The one that its actors hold."""
        self._scheduler: ShardScheduler | None = None

    @property
    def handles(self) -> list[ActorHandle]:
        """The actors that there are, ready or not."""
        return [] if self._dispatcher is None else self._dispatcher.pool.handles

    def prepare(self, work: Workload) -> Place | None:
        """Return where the workers are; None on this machine, where they need not be started to know the device."""
        if self.address is None and self.options.gpus is None:
            return None
        return place_of(self._start(work).identity_of(work))

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
        """Take back what no worker has begun; see `Dispatcher.cancel_pending`."""
        if self._dispatcher is not None:
            self._dispatcher.cancel_pending()

    def close(self) -> None:
        """Commit what has come, end the workers, and Ray if it was started or joined here."""
        if self._dispatcher is not None:
            with suppress(RobustcheckError, import_ray().exceptions.RayError):
                self._dispatcher.drain()
            self._dispatcher.pool.close()
        self._dispatcher = self._classifier = self._scheduler = None
        if self._joined:
            import_ray().shutdown()
        self._joined = False

    def _start(self, work: Workload) -> Dispatcher:
        """Return what has an evaluation computed; raises `RobustcheckError` if there is no room for any worker."""
        ray, classifier = import_ray(), work.runner.classifier
        dispatcher = self._dispatcher
        if dispatcher is None or self._classifier is not classifier:
            if dispatcher is not None:
                dispatcher.pool.close()
            self._dispatcher = self._classifier = None
            self._joined |= join(self.address)
            data = ray.put(serialize_classifier(classifier, ray.cloudpickle, self.load))
            dispatcher = Dispatcher(ActorPool(self.options, classifier.device, data), say=self.say)
            self._dispatcher, self._classifier = dispatcher, classifier
        if work not in dispatcher.sent:
            data, sends_pixels = serialize_evaluation(work, self.options, ray.cloudpickle)
            store = work.checkpoint.store if self.options.records == "store" else None
            dispatcher.sent[work] = SentEvaluation(
                ray.put(data), sends_pixels, None if store is None else store.run
            )
        return dispatcher

    def _compute(self, scheduler: ShardScheduler, task: ShardTask) -> list[ShardRecords]:
        """Return the records of a task's shard, under its views or those under which it was given out before."""
        scheduler.request(task.shard, task.views)
        self._start(scheduler.work).compute(scheduler, task.shard)
        return scheduler.take(task.shard, visible_within=self.visible_within)


def _without(task: ShardTask, computed: Iterable[ShardRecords]) -> ShardTask | None:
    """Return what is left of a task whose whole shard was measured under some views."""
    there = {view for records in computed for view in records.columns}
    missing = {view: start for view, start in task.missing.items() if view not in there}
    return replace(task, missing=missing, batches=()) if missing else None
