"""Shards computed by workers of Ray: the records of a serial run, whatever happens to the workers."""

import os
import signal
import time
from collections import Counter

import numpy as np
import pytest
import torch

from robustcheck import RobustcheckError, RobustnessWarning, open_images
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.executors.ray.cluster import join, suppress_ray_side_effects
from robustcheck.executors.ray.executor import RayExecutor
from robustcheck.notation import register_defence, temporary_steps
from robustcheck.options.workers import parse_address, parse_worker_options
from robustcheck.store.maintenance import blocks_in
from robustcheck.store.store import RecordStore
from tests.toys import assert_same_records, classifier_of, images_for

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
VIEWS = ["Adv_5", "JPG(Adv_5)", "Noise_3"]
pytestmark = pytest.mark.filterwarnings("error")


class Net(torch.nn.Module):
    """Linear; it is of no package that a worker could import."""

    def __init__(self, wrong=None, pause=0.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4, 768, generator=torch.Generator().manual_seed(0)) / 28)
        self.wrong, self.pause = wrong, pause

    def forward(self, images):
        time.sleep(self.pause)
        if self.wrong and len(images) > 2:
            raise ZeroDivisionError(self.wrong)
        return images.flatten(1) @ self.weight.T


@pytest.fixture(scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cluster(one_thread):
    """A head, and two nodes with a CPU each, on this machine."""
    with suppress_ray_side_effects():
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        cluster.nodes_with_cpus = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
    yield cluster
    with suppress_ray_side_effects():
        cluster.shutdown()


@pytest.fixture(scope="module")
def workers(cluster):
    """Two workers that all tests use, as one pytest run does for all its evaluations."""
    said = []
    made = RayExecutor(cluster.address, say=said.append)
    made.said = said
    yield made
    made.close()
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def classifier():
    """One for all tests: other workers are started for another classifier. Its code is there, unlike that of Net."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 4, bias=False))
    net[1].weight = Net().weight
    return classifier_of(net)


@pytest.fixture(scope="module")
def slow_classifier():
    return classifier_of(Net(pause=0.02))


@pytest.fixture
def images(classifier):
    return images_for(classifier, 148, seed=1)


@pytest.fixture
def store(tmp_path):
    return Counting(tmp_path / "store")


class Counting(RecordStore):
    """A store that counts how often each shard was committed; for workers it is the folder `there`."""

    def __init__(self, folder, there=None):
        super().__init__(folder)
        object.__setattr__(self, "commits", Counter())
        object.__setattr__(self, "there", there)

    def absolute(self):
        return RecordStore(self.there or self.folder)

    def commit(self, block, facts):
        self.commits[block.shard_key] += 1
        return super().commit(block, facts)


def evaluation_of(classifier, images, workers=None, store=None, **options):
    order = np.random.default_rng(0).permutation(len(images))
    config = RunConfig(batch_size=8, shard_size=32)
    return Evaluation(classifier, images, config, order=order, executor=workers, store=store, **options)


def run(classifier, images, workers=None, store=None, views=VIEWS, **options):
    evaluation = evaluation_of(classifier, images, workers, store, **options)
    evaluation.run(views)
    return evaluation


def assert_same(one, other):
    assert_same_records(one, other)
    assert one.provenance == other.provenance


class OnceBothWork:
    """A progress that does something once, after a shard, when two workers have work."""

    def __init__(self, workers, action):
        self.workers, self.action = workers, action

    def __call__(self, done, total):
        tasks = [handle.chunks for handle in self.workers.handles]
        if self.action is not None and len(tasks) == 2 and all(tasks):
            action, self.action = self.action, None
            action()


def assert_nothing_is_lost_with(disturbance, classifier, workers, store):
    """Have two workers work for a while, one of which is taken away in the middle."""
    images = images_for(classifier, 800, seed=1)
    disturb = OnceBothWork(workers, disturbance)
    workers.said.clear()
    evaluation = run(classifier, images, workers, store, progress=disturb)
    assert disturb.action is None
    assert any("a worker of Ray died" in line for line in workers.said)
    assert set(store.commits.values()) == {1}
    assert_same(evaluation.records, run(classifier_of(Net()), images).records)


def test_records_are_those_of_a_serial_run_and_each_shard_is_kept_once(workers, classifier, images, store):
    told = []
    evaluation = run(classifier, images, workers, store, progress=lambda *told_: told.append(told_))
    assert_same(evaluation.records, run(classifier, images).records)
    assert [*store.commits.values()] == [1] * 5
    assert told == [(32, 148), (64, 148), (96, 148), (128, 148), (148, 148)]
    warm = run(classifier, images, store=store)
    assert warm.stored.records == 4 * 148
    assert_same(warm.records, evaluation.records)


def test_what_the_store_has_is_taken_from_it(workers, classifier, images, store):
    evaluation_of(classifier, images, store=store).run(["Adv_5"], count=64)
    store.commits.clear()
    evaluation = run(classifier, images, workers, store)
    assert_same(evaluation.records, run(classifier, images).records)
    assert (
        evaluation.stored.records == 2 * 32 + 32
    )  # the clean images of the second are a by-product of its views
    assert set(store.commits.values()) == {1}


@pytest.fixture
def writing(workers, monkeypatch):
    """The workers, who write to the record store themselves."""
    monkeypatch.setattr(workers, "options", parse_worker_options("records:store"))
    return workers


def test_workers_write_whole_shards_to_a_store_that_is_shared(writing, classifier, images, store):
    evaluation = run(classifier, images, writing, store)
    assert_same(evaluation.records, run(classifier, images).records)
    assert evaluation.stored.records == 0
    assert not store.commits
    assert len([*blocks_in(store.folder)]) == 5
    warm = run(classifier, images, store=store)
    assert warm.stored.records == 4 * 148
    assert_same(warm.records, evaluation.records)
    more = run(classifier, images, writing, store, views=["JPG(Adv_5)", "Noise_8"])
    assert_same(more.records, run(classifier, images, views=["JPG(Adv_5)", "Noise_8"]).records)
    assert not store.commits


def test_a_store_that_is_another_one_there_is_told(writing, classifier, images, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "visible_within", 0.5)
    store = Counting(tmp_path / "store", there=tmp_path / "other")
    with pytest.raises(RobustcheckError, match=r"(?s)wrote x and others.*not seen from here.*records:sent"):
        run(classifier, images, writing, store)


def test_what_a_worker_cannot_write_it_sends(writing, classifier, images, tmp_path):
    (tmp_path / "file").touch()
    store = Counting(tmp_path / "store", there=tmp_path / "file")
    with pytest.warns(RobustnessWarning, match=r"its records are sent"):
        evaluation = run(classifier, images, writing, store)
    assert_same(evaluation.records, run(classifier, images).records)
    assert [*store.commits.values()] == [1] * 5


def test_steps_of_the_repository_and_images_from_files_travel(workers, classifier, tmp_path):
    from PIL import Image

    for index in range(20):
        noise = np.random.default_rng(index).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{index:02}.png")
    images = open_images(tmp_path, size=classifier.preprocessing)
    with temporary_steps():

        @register_defence("Flip")
        def flip(images):
            return images.flip(3)

        evaluation = run(classifier, images, workers, views=["Flip(Adv_5)"])
        assert_same(evaluation.records, run(classifier, images, views=["Flip(Adv_5)"]).records)
    (tmp_path / "07.png").unlink()
    again = open_images(tmp_path, size=classifier.preprocessing)
    evaluation = evaluation_of(classifier, again, workers)
    (tmp_path / "08.png").unlink()
    with pytest.raises(RobustcheckError, match=r"(?s)08\.png.*worker of Ray on "):
        evaluation.run(VIEWS)


def test_a_worker_that_is_killed_loses_nothing(workers, slow_classifier, store):
    def kill():
        pid = ray.get(workers.handles[0].actor.pid.remote())
        os.kill(pid, signal.SIGKILL)

    assert_nothing_is_lost_with(kill, slow_classifier, workers, store)


def test_images_that_kill_three_workers_are_an_error_that_names_them(workers, classifier, images, tmp_path):
    log = tmp_path / "deaths"
    with temporary_steps():

        @register_defence("Crash")
        def crash(images):
            with log.open("a") as file:
                file.write("died\n")
            os._exit(1)

        problem = r"3 workers of Ray died .* the images image \d+ to image \d+"
        with pytest.raises(RobustcheckError, match=problem):
            run(classifier, images, workers, views=["Crash"])
    assert 3 <= log.read_text().count("died") <= 6  # of two workers, each of which died of other images, too


class Deadly(Net):
    """It can't be had in another process, and ends that."""

    def __setstate__(self, state):
        os._exit(1)


def test_what_kills_every_worker_as_it_starts_is_an_error(workers, images):
    with pytest.raises(RobustcheckError, match="workers of Ray die as they start"):
        run(classifier_of(Deadly()), images, workers)


def test_what_the_model_raises_is_told(workers, classifier, images):
    with pytest.raises(RobustcheckError, match=r"(?s)ZeroDivisionError: too many images.*worker of Ray on"):
        run(classifier_of(Net("too many images")), images, workers)


def test_stopping_early_leaves_the_rest_uncomputed(workers, classifier, store):
    images = images_for(classifier, 3200, seed=1)
    evaluation = evaluation_of(classifier, images, workers, store)
    for count in range(8, 72, 8):
        evaluation.run(VIEWS, count=count, of=len(images))
    assert {evaluation.done(view) for view in evaluation.records.views} == {64}
    evaluation.executor.cancel_pending()
    run(classifier, images_for(classifier, 40, seed=1), workers)  # what the workers were at is there by then
    assert 2 <= len(store.commits) < 10  # of 100


def test_more_than_there_is_is_refused(cluster, classifier, images):
    for options, told in (("cpus:2", "workers of 2 CPUs"), ("gpus:1", "1 GPUs"), ("count:3", "3 workers")):
        asking = RayExecutor(cluster.address, parse_worker_options(options))
        with pytest.raises(RobustcheckError, match=f"no room for .*{told}.*wait for ever"):
            run(classifier, images, asking)
        asking.close()  # which leaves to others what they started
        assert ray.is_initialized()


def test_a_node_that_is_taken_away_loses_nothing(workers, slow_classifier, cluster, store):
    def remove():
        cluster.remove_node(cluster.nodes_with_cpus.pop(), allow_graceful=False)

    assert_nothing_is_lost_with(remove, slow_classifier, workers, store)


def test_another_cluster_than_the_one_in_use_is_refused(workers, classifier, images):
    with pytest.raises(RobustcheckError, match="in use in this process"):
        run(classifier, images, RayExecutor("127.0.0.1:1"))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://nowhere.invalid:10001"])
def test_nobody_at_an_address(address, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(RobustcheckError, match=r"(?s)no Ray at .*ray start --head"):
        join(address)


@pytest.mark.parametrize("text", ["dask", "ray:", "ray://"])
def test_addresses_that_are_none(text):
    with pytest.raises(RobustcheckError):
        parse_address(text)
