"""Several processes with one store: who computes what, and what becomes of the work of one that dies."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

import pytest
from filelock import FileLock

from robustcheck import RobustcheckError
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.executors.locked import LockedExecutor
from robustcheck.notation import parse, register_defence, temporary_steps
from robustcheck.store.store import RecordStore
from tests.toys import Linear, assert_same_records, classifier_of, images_for

_LONG = 300
"""Seconds after which a test gives up; a busy machine takes some."""
VIEWS = ["x", "Adv_5", "JPG(Adv_5)", "Noise_3"]


@pytest.fixture
def images():
    return images_for(classifier_of(Linear()), 44, wrong=0, seed=1)


@pytest.fixture
def process(tmp_path, images):
    """What makes an evaluation as another process of the run would, that counts the images its model is given.

    Passes over one or two images do not count: what each process tries of the model before it begins.
    """

    def make(*, ahead=0, store="store", run=""):
        classifier = classifier_of(Linear())
        classifier.probe()
        made = Evaluation(
            classifier,
            images,
            RunConfig(batch_size=8, shard_size=16),
            store=RecordStore(tmp_path / store, run=run),
            executor=LockedExecutor(tmp_path / "locks", ahead=ahead),
        )
        made.seen = batches = []

        def count(module, args, output):
            if len(output) > 2:
                batches.append(len(output))

        classifier.module.register_forward_hook(count)
        return made

    return make


@pytest.fixture
def alone(images):
    made = Evaluation(classifier_of(Linear()), images, RunConfig(batch_size=8))
    made.run(VIEWS)
    return made.records


def lock_of(evaluation, number):
    shard = [*evaluation.shards.between(0, 44)][number]
    evaluation.executor.folder.mkdir(exist_ok=True)
    return FileLock(evaluation.executor.folder / f"{evaluation.checkpoint.shard_key(shard)}.lock")


def test_two_at_once_do_the_work_once_and_both_have_all(process, alone):
    both = process(), process()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda evaluation: evaluation.run(VIEWS), both))
    for evaluation in both:
        assert_same_records(evaluation.records, alone)
    assert sum(sum(evaluation.seen) for evaluation in both) == 4 * 44


def test_one_asks_for_a_view_that_the_other_has_not(process, alone):
    first, second = process(), process()
    first.run(["Adv_5"])
    second.run(VIEWS)
    assert_same_records(second.records, alone)
    assert sum(second.seen) == 3 * 44  # clean, for l_x and the gradient, and two views


def test_the_lock_of_a_process_that_was_killed_is_free(process, alone, tmp_path):
    evaluation = process()
    lock = lock_of(evaluation, 1)
    code = f"from filelock import FileLock; import time; lock = FileLock({lock.lock_file!r}); lock.acquire(); print(1, flush=True); time.sleep(900)"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with ThreadPoolExecutor(1) as pool, other:
        other.stdout.readline()
        running = pool.submit(evaluation.run, VIEWS)
        with pytest.raises(NotYet):
            running.result(timeout=1)
        other.kill()
        running.result(timeout=_LONG)
    assert_same_records(evaluation.records, alone)
    assert sum(evaluation.seen) == 4 * 44


def kept(evaluation, views):
    """The shards of which the store has all."""
    return [
        at
        for at, shard in enumerate(evaluation.shards.between(0, 44))
        if not evaluation.checkpoint.missing_views(views, shard)
    ]


@pytest.mark.parametrize(("ahead", "shards"), [(0, []), (1, [1]), (2, [1, 2])])
def test_while_it_waits_it_computes_what_is_likely_to_be_asked_for(process, ahead, shards):
    evaluation = process(ahead=ahead)
    with ThreadPoolExecutor(1) as pool, lock_of(evaluation, 0):
        running = pool.submit(evaluation.run, VIEWS, count=8, of=44)
        views = tuple(map(parse, VIEWS))
        give_up = time.monotonic() + _LONG
        while (done := kept(evaluation, views)) != shards and time.monotonic() < give_up:
            time.sleep(0.05)
        with pytest.raises(NotYet):  # nor does it go on to more
            running.result(timeout=2)
        assert done == kept(evaluation, views) == shards
    running.result(timeout=_LONG)
    assert all(evaluation.done(view) == 8 for view in views)


def test_what_this_run_computed_is_not_said_to_come_from_the_store(process):
    process(run="first").run(["Adv_5"])
    for run, taken in (("first", 0), ("second", 2 * 44)):
        evaluation = process(run=run)
        evaluation.run(["Adv_5"])
        assert evaluation.stored.records == taken
        assert sum(evaluation.seen) == 0


def test_an_error_lets_go_of_the_shard(process, alone):
    broken = process()
    broken.classifier.module.register_forward_hook(lambda module, args, output: output * float("nan"))
    with pytest.raises(RobustcheckError, match="NaN or infinite"):
        broken.run(VIEWS)
    evaluation = process()
    evaluation.run(VIEWS)
    assert_same_records(evaluation.records, alone)


def test_a_store_that_takes_nothing_more_is_said_once_and_each_computes_on(process, alone, monkeypatch):
    def full(*_):
        raise RobustcheckError("no space left")

    monkeypatch.setattr(RecordStore, "commit", full)
    evaluation = process()
    with pytest.warns(UserWarning, match="no space left. The run continues without the record store"):
        evaluation.run(VIEWS)
    assert_same_records(evaluation.records, alone)


def test_what_is_under_way_is_told_by_shard_and_views(process):
    told = []
    evaluation = process()
    assert evaluation.underway == ""
    evaluation.progress = lambda done, of: told.append((done, of, evaluation.underway))
    evaluation.run(["Adv_5"])
    assert told[-1] == (44, 44, "shard 3 of 3, 2 views")
    assert told[0] == (16, 44, "shard 2 of 3, 2 views")


def test_a_view_that_can_not_be_kept_is_computed_by_each_and_once_by_each(process):
    of_no_known_kind = iter([])  # so that what the function does can't be known

    with temporary_steps():

        @register_defence("Unknown")
        def unknown(images):
            return images.clone() if of_no_known_kind else images

        first, second = process(), process()
        for evaluation in (first, second):
            with pytest.warns(UserWarning, match="records of Unknown are not kept"):
                evaluation.run(["Noise_3", "Unknown"])
        assert_same_records(first.records, second.records)
    assert sum(first.seen) == 3 * 44
    assert sum(second.seen) == 1 * 44
