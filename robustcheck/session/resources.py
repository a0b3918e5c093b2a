"""What the evaluations of one run share, as the settings say: model, device, record store, executor, baseline.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from robustcheck.errors import RobustcheckError
from robustcheck.options.table import Settings

if TYPE_CHECKING:
    from robustcheck.evaluation.executor import Executor
    from robustcheck.images import ImageSet
    from robustcheck.models import Classifier
    from robustcheck.records.baseline import Baseline
    from robustcheck.records.old_run import OldRun
    from robustcheck.session.xdist import Worker
    from robustcheck.store.store import RecordStore


class Resources:
    """Each is created on first use, and shared by all evaluations of a run."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        *,
        worker: Worker | None,
        cache_folder: Callable[[], Path | None],
    ) -> None:
        self.settings = settings
        self.root = root
        self.worker = worker
        """Set if this process is a worker of pytest-xdist."""
        self.run_id: str = uuid4().hex if worker is None else worker.run_id
        self.messages: dict[str, None] = {}
        """Lines to report about the store and the workers, each once."""
        self.failures: dict[str, None] = {}
        """Lines about what the store could not do, which are reported with -q, too."""
        self.facts: dict[str, str] = {}
        """What reports say of how the run went."""
        self._cache_folder = cache_folder
        self._load: Callable[..., Classifier] | None = None
        self._cleanup = ExitStack()

    def load_model(self) -> Classifier:
        """Load the classifier that the options name, or the sample."""
        from robustcheck.models import load_model

        model = self.settings.model
        self._load = partial(
            load_model,
            model or "sample",
            weights=self.settings.weights,
            trust_programs=self.settings.trust_programs,
        )
        try:
            return self._load(device=self.device)
        except RobustcheckError as error:
            if model:
                raise
            raise RobustcheckError(f"{error}\nor name a model: --robustcheck-model=resnet50") from None

    @cached_property
    def device(self) -> str:
        """The device to compute on; workers of pytest-xdist share the cores and the GPUs of a machine."""
        if self.worker is None:
            return self.settings.device
        self.worker.share_cores()
        return self.worker.device(self.settings.device)

    @property
    def batch_size(self) -> int | str | None:
        """The batch size; workers of pytest-xdist do not benchmark it, since they would disturb each other."""
        asked = self.settings.batch_size
        if asked == "auto" and self.worker is not None:
            self.messages[
                "--robustcheck-batch-size=auto is ignored under pytest-xdist: the batch size is the device's default"
            ] = None
            return None
        return asked

    @cached_property
    def store(self) -> RecordStore | None:
        """The record store; None if it is turned off or unavailable.

        By default it is in pytest's cache directory, so that `--cache-clear` clears it, turning the cache off turns it
        off, version control ignores it, and a fresh checkout has none: a gate in CI computes what it gates, unless
        someone chose to carry a folder from run to run.
        """
        store = self._kept_store() or self._store_of_workers()
        if store is None:
            return None
        self._cleanup.callback(self._prune, store)
        return replace(store, run=self.run_id, refresh=self.settings.refresh, warn=self.failures.setdefault)

    def _kept_store(self) -> RecordStore | None:
        """Return the store for the next runs; raises `RobustcheckError` if a folder that was named can't be one."""
        from robustcheck.store.store import open_store

        named = self.settings.store
        if named == "off":
            return None
        try:
            return open_store(self._cache_folder() if named is None else Path(named))
        except RobustcheckError as error:
            if named is not None:
                raise
            self.messages[f"records are not kept for the next run: {error}"] = None
            return None

    def _store_of_workers(self) -> RecordStore | None:
        """Return a store for this run alone, by which workers of pytest-xdist share their records."""
        from robustcheck.store.store import open_store

        if self.worker is None:
            return None
        try:
            return open_store(self.worker.folder / "records")
        except RobustcheckError as error:
            lost = "records are not shared: each worker of pytest-xdist computes what its own tests need"
            self.messages[f"{lost}: {error}"] = None
            return None

    @cached_property
    def executor(self) -> Executor | None:
        """The executor: Ray, or shared with the other workers of pytest-xdist; None for this process alone."""
        settings = self.settings
        executor: Executor
        if settings.workers is not None:
            from robustcheck.executors.ray.executor import RayExecutor
            from robustcheck.options.workers import parse_address

            executor = RayExecutor(
                parse_address(settings.workers),
                settings.worker_options,
                load=None if self._load is None else partial(self._load, device="cpu"),
                say=self.messages.setdefault,
            )
        elif self.worker is not None and self.store is not None:
            from robustcheck.executors.locked import LockedExecutor

            executor = LockedExecutor(self.worker.folder / "locks", ahead=self.worker.count)
        else:
            return None
        self._cleanup.callback(executor.close)
        return executor

    @cached_property
    def baseline(self) -> Baseline | None:
        """The baseline that `--robustcheck-compare` names."""
        from robustcheck.records.baseline import Baseline

        name, limit = self.settings.compare, self.settings.baseline_age
        if name is None:
            return None
        baseline = Baseline.read(name, self.root)
        remark = _age_remark(baseline, limit)
        return replace(baseline, remark=remark) if remark else baseline

    @property
    def draw(self) -> str:
        """The value from which an assisted run draws the order of images: a fresh one, or that of a run to replay."""
        return self.settings.draw or self.run_id[:16]

    def old_run(self, images: ImageSet) -> OldRun | None:
        """Return the baseline as it helps to decide claims about images; None if it is not asked to, or can't.

        The order in which images are drawn is then fixed here: after the baseline, and unknown to who wrote it.
        """
        from robustcheck.records.old_run import OldRun, draw_order

        settings, baseline = self.settings, self.baseline
        if baseline is None or not settings.stop_early or settings.assist == "off":
            return None
        order = draw_order(len(images), seed=settings.seed, digest=baseline.digest, draw=self.draw)
        try:
            old = OldRun.of(baseline, images.names, images.labels, order)
        except RobustcheckError as error:
            self.messages[f"the baseline {baseline.path.name} does not assist: {error}"] = None
            return None
        how = f"drawn from seed {settings.seed}, the baseline's digest {baseline.digest} and the draw {self.draw}"
        self.facts["order of images"] = how
        self.messages[f"the order of images was new: --robustcheck-draw={self.draw} replays it"] = None
        return old

    @property
    def replay(self) -> list[str]:
        """The arguments that draw images in this run's order again, where the command line does not."""
        fresh = self.facts and self.settings.draw is None
        return [f"--robustcheck-draw={self.draw}"] if fresh else []

    def check_baselines(self) -> None:
        """Raise `RobustcheckError` if a baseline can't be saved under its name, or can't be read."""
        if self.settings.save is not None:
            from robustcheck.records.baseline import path_of

            path_of(self.settings.save, self.root)
        if self.settings.compare is not None:
            self.baseline  # noqa: B018 - reading it is the check

    def check_workers(self, *, is_spread: bool) -> None:
        """Raise `RobustcheckError` if Ray workers can't be used; `is_spread` is whether pytest-xdist runs the tests."""
        settings = self.settings
        if settings.workers is None:
            if settings.worker_options is not None:
                raise RobustcheckError(
                    "--robustcheck-worker-options needs workers: --robustcheck-workers=ray"
                )
            return
        options = settings.worker_options
        if options is not None and options.records == "store" and settings.store == "off":
            raise RobustcheckError(
                "--robustcheck-worker-options=records:store needs a record store: name a folder that all machines share "
                "(--robustcheck-store=DIR), or leave out --robustcheck-store=off"
            )
        if find_spec("ray") is None:
            raise RobustcheckError(
                "--robustcheck-workers=ray needs Ray, which is not installed: pip install 'pytest-robustcheck[ray]'"
            )
        if is_spread:
            raise RobustcheckError(
                "--robustcheck-workers and pytest-xdist's -n do not go together, since each process would request all of "
                "the Ray cluster: leave out the one or the other"
            )

    def close(self) -> None:
        """Close the executor and prune the store, if this run has used them."""
        self._cleanup.close()

    def _prune(self, store: RecordStore) -> None:
        from robustcheck.byte_size import format_size
        from robustcheck.store.maintenance import prune

        try:
            count, freed = prune(store.folder, self.settings.store_limit)
        except RobustcheckError as error:
            self.failures[str(error)] = None
            return
        if count:
            limit = format_size(self.settings.store_limit)
            self.messages[
                f"the record store is limited to {limit}: removed {count} blocks, {format_size(freed)}"
            ] = None


def _age_remark(baseline: Baseline, limit: timedelta) -> str:
    """Return what a person should know of a baseline's age, or ""; one without a date has none."""
    date, age = baseline.saved.get("date", ""), baseline.age(datetime.now(UTC))
    if age is None:
        return (
            date
            and f"the baseline's age is unknown: its date must be such as 2026-01-31 12:00 UTC, got {date!r:.60}"
        )
    if age < -timedelta(days=1):
        return (
            f"the baseline's age is unknown: its date, {date}, lies in the future: check the clocks of this machine and "
            "of the one that saved it"
        )
    if age > limit:
        return f"the baseline is {age.days} days old, more than --robustcheck-baseline-age={limit.days}d: save it anew"
    return ""
