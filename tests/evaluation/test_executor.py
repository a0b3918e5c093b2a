"""The seam between evaluations and executors: any executor that keeps to the protocol gives the same records."""

import numpy as np
import pytest

from robustcheck import RobustcheckError
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.evaluation.shards import Place, ShardRecords
from robustcheck.records import COLUMNS
from robustcheck.store.maintenance import blocks_in
from robustcheck.store.store import RecordStore

VIEWS = ["x", "Adv_5", "JPG(Adv_5)", "Noise_3"]
CONFIG = RunConfig(batch_size=2, shard_size=4)


class Shuffled:
    """Computes whole shards, one ahead first and then the last first, and yields the second half before the first."""

    def __init__(self, place=None, fails_after=99):
        self.place, self.fails_after = place, fails_after
        self.computed, self.cancelled = [], 0

    def prepare(self, work):
        return self.place

    def run(self, work, tasks, ahead):
        for task in [*[*ahead][:1], *reversed([*tasks])]:
            loaded, rest = work.load(task)
            yield from loaded
            if rest is not None:
                if len(self.computed) == self.fails_after:
                    raise RobustcheckError("the cluster is gone")
                self.computed.append(task.shard.start)
                yield from halves(work.compute(task.shard, rest.views))

    def cancel_pending(self):
        self.cancelled += 1

    def close(self):
        pass


def halves(records):
    half = len(records.ids) // 2
    for rows in (slice(half, None), slice(0, half)):
        yield ShardRecords(
            records.start + (rows.start or 0),
            records.ids[rows],
            {view: own[rows] for view, own in records.columns.items()},
        )


def evaluation_of(classifier, images, executor=None, store=None, **options):
    return Evaluation(classifier, images, CONFIG, executor=executor, store=store, **options)


def assert_same(one, other):
    assert one.views == other.views
    assert one.ids == other.ids
    for view in one.views:
        for name in COLUMNS:
            assert one.columns[view][name].tobytes() == other.columns[view][name].tobytes(), (view, name)


@pytest.fixture
def alone(toy_classifier, toy_images):
    evaluation = evaluation_of(toy_classifier, toy_images)
    evaluation.run(VIEWS)
    return evaluation.records


def test_shards_in_any_order_give_the_same_records_and_one_block_each(
    toy_classifier, toy_images, alone, tmp_path
):
    told, store = [], RecordStore(tmp_path)
    evaluation = evaluation_of(
        toy_classifier, toy_images, Shuffled(), store, progress=lambda *progress: told.append(progress)
    )
    evaluation.run(VIEWS)
    assert_same(evaluation.records, alone)
    assert told == [(13, 13)]  # the first shard came last
    assert len([*blocks_in(tmp_path)]) == 4
    again = evaluation_of(toy_classifier, toy_images, store=store)
    again.run(VIEWS)
    assert again.stored.records == 4 * 13
    assert_same(again.records, alone)


def test_shards_ahead_are_kept_until_they_are_asked_for_and_not_computed_again(
    toy_classifier, toy_images, alone
):
    executor = Shuffled()
    evaluation = evaluation_of(toy_classifier, toy_images, executor)
    evaluation.run(VIEWS, count=2, of=13)
    assert executor.computed == [4, 0]
    assert int(evaluation.records.seen("x").sum()) == evaluation.completed == 4
    evaluation.run(VIEWS, count=8, of=13)
    assert executor.computed == [4, 0]
    assert evaluation.completed == 8
    evaluation.run(VIEWS)
    assert sorted(executor.computed) == [0, 4, 8, 12]
    assert_same(evaluation.records, alone)


def test_what_was_yielded_before_an_error_is_kept(toy_classifier, toy_images, alone, tmp_path):
    store = RecordStore(tmp_path)
    evaluation = evaluation_of(toy_classifier, toy_images, Shuffled(fails_after=2), store)
    with pytest.raises(RobustcheckError, match="the cluster is gone"):
        evaluation.run(VIEWS)
    assert evaluation.completed == 0  # of the first images
    executor = Shuffled()
    again = evaluation_of(toy_classifier, toy_images, executor, store)
    again.run(VIEWS)
    assert executor.computed == [4, 0]
    assert_same(again.records, alone)


def test_records_are_provenance_of_the_place_where_they_were_computed(toy_classifier, toy_images, tmp_path):
    store = RecordStore(tmp_path)
    place = Place("far away", "cuda (A GPU)", "fp32 there", "cuda, A GPU")
    evaluation = evaluation_of(toy_classifier, toy_images, Shuffled(place), store)
    evaluation.run(VIEWS)
    assert evaluation.provenance.devices == ("cuda (A GPU)",)
    assert evaluation.provenance.precision == "fp32 there"
    here = evaluation_of(toy_classifier, toy_images, store=store)
    here.run(VIEWS)
    assert here.stored.records == 0  # those of another kind of device have other last digits
    there = evaluation_of(toy_classifier, toy_images, Shuffled(place), store)
    there.run(VIEWS)
    assert there.stored.records == 4 * 13


def test_a_second_evaluation_is_computed_by_the_same_executor(toy_classifier, toy_images):
    executor = Shuffled()
    first = evaluation_of(toy_classifier, toy_images, executor, order=np.arange(13)[::-1].copy())
    first.run(["Noise_3"])
    second = first.fresh(seed=1)
    second.run(["Noise_3"])
    assert executor.computed == [12, 8, 4, 0] * 2
    assert (second.records.column("l2", "Noise_3") != first.records.column("l2", "Noise_3")).any()
