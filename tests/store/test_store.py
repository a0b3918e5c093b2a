"""Records that are kept: what a second run computes, what it takes, and what it must not take."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robustcheck import ImageSet, RobustcheckError, RobustnessWarning, evaluate
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.evaluation.cache_keys import config_digest, config_facts
from robustcheck.evaluation.shards import Shard
from robustcheck.notation import register_defence, temporary_steps
from robustcheck.records.provenance import Codec, Images, Model, Provenance
from robustcheck.store.block import DamagedBlock, RecordBlock
from robustcheck.store.store import RecordStore
from tests.toys import Linear, assert_same_records, classifier_of, images_for

VIEWS = ["x", "Adv_5", "JPG(Adv_5)", "Noise_3"]
SHARDS = 3
COPIES = 2
"""One clean image of each shard is classified again, beside a copy of itself, before its records are taken."""
PASSES = 2 + 2 + 2
"""The network runs on two images to find its precision, and twice to find what its forward pass writes."""
SEEN: list[int] = []


class Net(Linear):
    """Linear, with a setting that no weight shows."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, images):
        return self.scale * super().forward(images)


def count(_module, _given, output):
    SEEN.append(len(output))


@pytest.fixture
def classifier():
    """A toy that counts the images that it is given."""
    made = classifier_of(Net())
    made.probe()
    made.module.register_forward_hook(count)
    SEEN.clear()
    return made


@pytest.fixture
def images():
    return images_for(classifier_of(Net()), 44, seed=1)


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "store")


def evaluation_of(classifier, images, store=None, order=None, **options):
    config = RunConfig(**{"batch_size": 8, "shard_size": 16, **options})
    return Evaluation(classifier, images, config, order=order, store=store)


def run(classifier, images, store=None, views=VIEWS, count=None, **options):
    evaluation = evaluation_of(classifier, images, store, **options)
    evaluation.run(views, count=count)
    return evaluation


def files(store):
    return sorted(store.folder.rglob("*.parquet"))


def test_a_second_run_takes_all_and_computes_nothing(classifier, images, store):
    cold = run(classifier, images, store)
    assert len(files(store)) == 3
    SEEN.clear()
    warm = run(classifier, images, store)
    assert sum(SEEN) == SHARDS * COPIES + PASSES
    assert_same_records(warm.records, cold.records)
    assert_same_records(warm.records, run(classifier, images).records)
    assert warm.records.provenance == cold.records.provenance
    assert (warm.stored.records, warm.stored.of) == (4 * 44, 4 * 44)
    assert cold.stored.records == 0


def test_a_new_view_costs_that_view_alone(classifier, images, store):
    run(classifier, images, store)
    SEEN.clear()
    evaluation = run(classifier, images, store, [*VIEWS, "JPG_50"])
    assert sum(SEEN) == 44 + SHARDS * COPIES + PASSES
    assert evaluation.stored.records == 4 * 44


LEFT = [99]


class Breaks(Net):
    """Breaks after as many gradients as are left."""

    def forward(self, batch):
        if batch.requires_grad:
            LEFT[0] -= 1
            if LEFT[0] < 0:
                raise RuntimeError("the model broke")
        return super().forward(batch)


def test_an_exception_in_the_middle_keeps_what_was_done(images, store):
    classifier = classifier_of(Breaks())
    LEFT[0] = 3
    with pytest.raises(RobustcheckError, match="RuntimeError: the model broke"):
        run(classifier, images, store)
    LEFT[0] = 99
    resumed = run(classifier, images, store)
    assert resumed.stored.records == 4 * 24  # one whole shard and the first batch of the second
    assert_same_records(resumed.records, run(classifier, images).records)


def test_early_stopping_takes_no_more_than_it_asks_for(classifier, images, store):
    run(classifier, images, store)
    evaluation = evaluation_of(classifier, images, store)
    for count in (5, 12, 17):
        evaluation.run(VIEWS, count=count)
        assert evaluation.records.seen("x").sum() == -(-count // 8) * 8
    assert evaluation.stored.records == 4 * 24


def test_early_stopping_keeps_and_goes_on(classifier, images, store):
    first = evaluation_of(classifier, images, store)
    for count in (8, 16, 20):
        first.run(VIEWS, count=count)
    assert len(files(store)) == 2  # what had fewer images of the first shard was replaced
    SEEN.clear()
    assert_same_records(run(classifier, images, store).records, run(classifier, images).records)


def other_weights(images):
    net = Net()
    net.weight.data[0, 0] += 1e-3
    return classifier_of(net), images, {}


def other_setting(images):
    return classifier_of(Net(scale=1.0001)), images, {}


def other_preprocessing(images):
    return classifier_of(Net(), std=(0.501,) * 3), images, {}


def other_code(images):
    class Edited(Net):
        def forward(self, images):
            return super().forward(images) * 1.00001

    Edited.__qualname__ = "Net"
    return classifier_of(Edited()), images, {}


def other_pixels(images):
    pixels = next(images.batches(44)).pixels.clone()
    pixels[:, 0, 0, 0] ^= 1
    return classifier_of(Net()), ImageSet.from_arrays(pixels, images.labels), {}


def other_labels(images):
    return classifier_of(Net()), images.with_labels(images.labels.clip(1)), {}


def other_seed(images):
    return classifier_of(Net()), images, {"seed": 1}


def other_batch_size(images):
    return classifier_of(Net()), images, {"batch_size": 4}


def other_order(images):
    return classifier_of(Net()), images, {"order": np.arange(44)[::-1].copy()}


def a_second_replicate(images):
    return classifier_of(Net()), images, {"replicate": 2}


@pytest.mark.parametrize(
    "change",
    [
        *(other_weights, other_setting, other_preprocessing, other_code, other_pixels),
        *(other_labels, other_seed, other_batch_size, other_order, a_second_replicate),
    ],
)
def test_nothing_is_taken_of_another(images, store, change):
    run(classifier_of(Net()), images, store)
    other, its_images, options = change(images)
    assert run(other, its_images, store, **options).stored.records == 0
    assert run(classifier_of(Net()), images, store).stored.records == 4 * 44


OUTSIDE = {"factor": 1.0}
"""What a network reads that is no part of it."""


class ReadsOutside(Net):
    def forward(self, batch):
        return super().forward(batch) * OUTSIDE["factor"]


@pytest.mark.parametrize("factor", [2.0, 1.0001])
def test_a_model_that_changed_unseen_is_found_out_and_said(images, tmp_path, monkeypatch, factor):
    said = []
    store = RecordStore(tmp_path / "store", warn=said.append)
    run(classifier_of(ReadsOutside()), images, store)
    monkeypatch.setitem(OUTSIDE, "factor", factor)
    for taken in (0, 4 * 44):
        evaluation = run(classifier_of(ReadsOutside()), images, store)
        assert evaluation.stored.records == taken
        assert_same_records(evaluation.records, run(classifier_of(ReadsOutside()), images).records)
    assert len(said) == 1
    assert "toy gives for image 0 logits that differ by" in said[0]
    assert "recomputing everything" in said[0]


class ReadsSettings(Net):
    """What is sure of an image either way gives p(top) 1.000; its logits tell."""

    def __init__(self, settings):
        super().__init__()
        self.settings = settings

    def forward(self, batch):
        return super().forward(batch) * 40 / self.settings["temperature"]


@pytest.mark.parametrize(
    "wrap", [float, torch.tensor, np.float64, lambda value: [value], lambda value: {"in": value}]
)
def test_what_a_network_holds_counts(images, store, wrap):
    def made(value):
        net = ReadsSettings({"temperature": 1.0})
        net.settings["of"] = wrap(value)
        return classifier_of(net)

    run(made(1.0), images, store)
    assert run(made(0.5), images, store).stored.records == 0
    assert run(made(1.0), images, store).stored.records == 4 * 44
    net = ReadsSettings({"temperature": 0.5})
    assert run(classifier_of(net), images, store).stored.records == 0


def test_of_a_network_that_can_not_be_compared_nothing_is_kept_and_that_is_said(images, tmp_path):
    said = []
    store = RecordStore(tmp_path / "store", warn=said.append)
    net = Net()
    net.helper = {"generator": np.random.default_rng(0)}
    for _ in range(2):
        evaluation = run(classifier_of(net), images, store)
        assert evaluation.stored.records == 0
    assert not files(store)
    assert len(said) == 2  # an evaluation each
    assert "nothing is kept in the record store: Net.helper['generator'] is a numpy.random" in said[0]


def test_a_step_that_can_not_be_compared_is_named_and_not_kept(classifier, images, tmp_path):
    said = []
    store, generator = RecordStore(tmp_path / "store", warn=said.append), np.random.default_rng(0)
    with temporary_steps():

        @register_defence("Drawn")
        def drawn(images):
            return images + generator.integers(0, 1)

        assert run(classifier, images, store, ["Drawn"]).stored.records == 0
        assert run(classifier, images, store, ["Drawn"]).stored.records == 44  # the clean images alone
    assert "records of Drawn are not kept" in said[0]
    assert "closes over generator is a numpy.random" in said[0]


def test_weights_that_changed_get_their_own_fingerprint_and_records(images, store):
    net = Net()
    classifier = classifier_of(net)
    first = run(classifier, images, store)
    with torch.no_grad():
        net.weight.mul_(3)
    second = run(classifier, images, store)
    assert second.stored.records == 0
    assert second.provenance.model.weights == classifier.fingerprint != first.provenance.model.weights
    assert_same_records(second.records, run(classifier_of(net), images).records)


def test_weights_that_change_within_one_evaluation_end_it(classifier, images):
    evaluation = evaluation_of(classifier, images)
    evaluation.run(["x"])
    before = evaluation.provenance.model.weights
    with torch.no_grad():
        classifier.module.weight.mul_(3)
    with pytest.raises(
        RobustcheckError, match=rf"the weights of toy changed .*then {before}, now .*evaluate it anew"
    ):
        evaluation.run(["Adv_1"])
    assert evaluation.provenance.model.weights == before


def test_torch_s_flags_are_part_of_the_key(classifier, images, store):
    run(classifier, images, store)
    torch.use_deterministic_algorithms(True)
    try:
        assert run(classifier, images, store).stored.records == 0
    finally:
        torch.use_deterministic_algorithms(False)
    assert run(classifier, images, store).stored.records == 4 * 44


def test_a_step_that_was_edited_is_computed_anew(classifier, images, store):
    def register(shift):
        @register_defence("Shifted")
        def shifted(images):
            return (images.int() + shift).clamp(0, 255).to(images.dtype)

    for shift, taken in ((1, 0), (1, 88), (2, 44)):
        with temporary_steps():
            register(shift)
            evaluation = run(classifier, images, store, ["Shifted"])
            assert evaluation.stored.records == taken
            assert evaluation.records.column("linf", "Shifted").max() == shift


def test_refresh_computes_anew_and_replaces(classifier, images, store):
    run(classifier, images, store)
    old = [path.read_bytes() for path in files(store)]
    refreshed = RecordStore(store.folder, run="second", refresh=True)
    assert run(classifier, images, refreshed).stored.records == 0
    assert len(files(store)) == 3
    assert all(path.read_bytes() != data for path, data in zip(files(store), old, strict=True))
    new = [path.read_bytes() for path in files(store)]
    assert run(classifier, images, refreshed).stored.records == 0, "its own"
    assert [path.read_bytes() for path in files(store)] == new
    assert run(classifier, images, store).stored.records == 4 * 44


def test_blocks_of_a_machine_whose_clock_is_ahead_are_refreshed_too(classifier, images, store, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 4e9)
    run(classifier, images, store)
    monkeypatch.undo()
    assert run(classifier, images, replace(store, run="second")).stored.records == 4 * 44
    refreshed = run(classifier, images, replace(store, run="third", refresh=True))
    assert refreshed.stored.records == 0


@pytest.mark.parametrize("at", [0, 0.1, 0.5, 0.9, 1])
@pytest.mark.parametrize("how", ["flip", "cut"])
def test_a_damaged_block_is_reported_and_computed_anew(classifier, images, tmp_path, at, how):
    said = []
    store = RecordStore(tmp_path / "store", warn=said.append)
    cold = run(classifier, images, store)
    path = files(store)[1]
    data = bytearray(path.read_bytes())
    place = min(int(at * len(data)), len(data) - 1)
    if how == "flip":
        data[place] ^= 0x40
    path.write_bytes(data if how == "flip" else data[:place])
    again = run(classifier, images, store)
    assert_same_records(again.records, cold.records)
    assert said
    assert all(str(path) in line and "computed again" in line for line in said)
    assert run(classifier, images, store).stored.records == 4 * 44


def test_every_byte_counts(classifier, images):
    data = evaluation_of(classifier, images).compute(["Noise_3"], Shard(0, 8)).to_bytes()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 0x01
        with pytest.raises(DamagedBlock):
            RecordBlock.from_bytes(bytes(flipped))


@pytest.mark.parametrize("at", [0, 0.3, 0.7, 1])
def test_a_byte_too_many_is_damage(classifier, images, at):
    data = evaluation_of(classifier, images).compute(["Noise_3"], Shard(0, 8)).to_bytes()
    place = int(at * len(data))
    with pytest.raises(DamagedBlock, match="is damaged"):
        RecordBlock.from_bytes(data[:place] + b"\0" + data[place:])


@pytest.mark.parametrize("library", ["pandas", "polars", "duckdb"])
def test_other_readers_of_parquet_read_a_block(classifier, images, tmp_path, library):
    reader = pytest.importorskip(library)
    block = evaluation_of(classifier, images).compute(["Noise_3"], Shard(0, 8))
    (tmp_path / "block.parquet").write_bytes(block.to_bytes())
    table = reader.read_parquet(str(tmp_path / "block.parquet"))
    assert (table.df() if library == "duckdb" else table)["p_top"].to_numpy().tolist() == [
        value for rows in block.columns.values() for value in rows["p_top"]
    ]


def test_a_block_of_another_version_is_refused_by_name(classifier, images, tmp_path, monkeypatch):
    from robustcheck.store import block

    said = []
    store = RecordStore(tmp_path / "store", warn=said.append)
    evaluation = evaluation_of(classifier, images, store)
    with monkeypatch.context() as old:
        old.setattr(block, "FORMAT", 0)
        made = evaluation.compute(VIEWS, Shard(0, 16))
        evaluation.commit(made)
    evaluation.run(VIEWS)
    assert evaluation.stored.records == 0
    assert "version 0, and this robustcheck reads 3" in said[0]


@pytest.mark.parametrize("name", ["without_checksum", "with_checksum"])
def test_a_block_of_version_2_is_of_another_version_and_not_damaged(name):
    data = (Path(__file__).parent / "version_2" / f"{name}.parquet").read_bytes()
    with pytest.raises(DamagedBlock) as refused:
        RecordBlock.from_bytes(data, "it")
    assert str(refused.value) == "it holds records of version 2, and this robustcheck reads 3"


def test_warnings_of_the_first_batch_are_given_again(images, store):
    class Probabilities(Net):
        def forward(self, batch):
            return super().forward(batch).softmax(1)

    for _ in range(2):
        with pytest.warns(RobustnessWarning, match="returns probabilities, not logits"):
            evaluation = run(classifier_of(Probabilities()), images, store)
    assert evaluation.stored.records == 4 * 44


def test_a_folder_that_can_not_be_written_is_said_once(classifier, images, tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    evaluation = run(classifier, images, RecordStore(tmp_path / "file", warn=said.append))
    assert len(said) == 1
    assert "continues without the record store" in said[0]
    assert_same_records(evaluation.records, run(classifier, images).records)
    with pytest.raises(RobustcheckError, match=r"the record store .* can't be made"):
        evaluate(classifier, images, ["x"], store=tmp_path / "file")


def test_computed_elsewhere_and_committed_twice(classifier, images, store):
    """The seam for other processes and machines."""
    here, there = evaluation_of(classifier, images, store), evaluation_of(classifier, images)
    lacking = list(here.missing(VIEWS))
    assert [shard for shard, _ in lacking] == [Shard(0, 16), Shard(16, 32), Shard(32, 44)]
    for shard, views in reversed(lacking):
        data = there.compute(views, shard).to_bytes()
        for _ in range(2):
            here.commit(RecordBlock.from_bytes(data))
    assert there.records.views == ()
    assert list(here.missing(VIEWS)) == []
    assert len(files(store)) == 3
    SEEN.clear()
    here.run(VIEWS)
    assert sum(SEEN) == SHARDS * COPIES + 2  # to find its precision
    assert_same_records(here.records, run(classifier, images).records)


def test_what_is_kept_by_an_earlier_version_is_found_by_its_words(classifier):
    """The digest that records are kept under is over these lines: other words would lose all that is kept."""
    provenance = Provenance(
        model=Model("toy", "0123"),
        pixels="squash to 16x16 (bilinear)",
        images=Images("made", 8, fingerprint="ff00"),
        devices=("cpu (2 threads)",),
        precision="fp32",
        network="as it is",
        codec=Codec("JPEG 4:2:0, islow DCT, fancy upsampling", "Pillow 13.0.0 (libjpeg-turbo 3.2.0)"),
        labels="attacks maximise the loss of l_x",
        seed="7",
        versions=("robustcheck 0.1.0", "torch 2.6.0"),
        libraries=("foolbox 3.3.4",),
    )
    facts = config_facts(classifier, provenance, batch_size=8, replicate=1)
    here = {name: facts.pop(name) for name in ("model", "weights", "state", "torch", "device", "source")}
    assert all(isinstance(text, str) for text in here.values())
    assert facts == {
        "pixels": "squash to 16x16 (bilinear)",
        "precision": "fp32",
        "network": "as it is",
        "codec": "JPEG 4:2:0, islow DCT, fancy upsampling, by Pillow 13.0.0 (libjpeg-turbo 3.2.0)",
        "labels": "attacks maximise the loss of l_x",
        "seed": "7",
        "versions": "robustcheck 0.1.0, torch 2.6.0",
        "batch size": "8",
        "take": "1",
        "records": "3",
    }
    assert config_digest(facts) == "9acc77b47807205c13d853864cd2f818"
