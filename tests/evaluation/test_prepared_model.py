"""What the engine's options change, and what they leave as it is."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from robustcheck import Classifier, ImageSet, RobustcheckError, evaluate
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.evaluation.prepared_model import PreparedModel, measure_batch_sizes
from robustcheck.records import COLUMNS

TABLE = ["x", "Adv_1", "Adv_5", "Adv_10", "JPG(Adv_1)", "JPG(Adv_5)", "JPG(Adv_10)", "JPG_noise(Adv_1)"]


class Net(nn.Module):
    """Convolutions with batch normalisation; notes in what numbers, and how many images at once, it is called."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 16, 5, stride=2), nn.BatchNorm2d(16), nn.ReLU())
        self.body[1].running_mean.normal_()
        self.head = nn.Linear(16, 7)
        self.calls = []

    def forward(self, images):
        logits = self.head(self.body(images).mean(dim=(2, 3))) * 20
        self.calls.append((logits.dtype, len(images), torch.is_grad_enabled()))
        return logits


@pytest.fixture
def net():
    return Net().eval()


@pytest.fixture
def classifier(net):
    return Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="cpu", name="net")


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(1).integers(0, 256, (11, 3, 16, 16), dtype=np.uint8)
    return ImageSet.from_arrays(pixels)


def columns_of(records):
    return {
        (view, name): records.column(name, view)
        for view in records.views
        for name in COLUMNS
        if name != "correct"
    }


def agree(first, second, *, probability=2e-4):
    """Whether records are equal: images and predictions exactly, probabilities as nearly as is promised."""
    assert columns_of(first).keys() == columns_of(second).keys()
    for (view, name), values in columns_of(first).items():
        tolerance = probability if name == "p_top" else 0
        np.testing.assert_allclose(
            values, second.column(name, view), atol=tolerance, err_msg=f"{name} of {view}"
        )


@pytest.mark.parametrize("batch_size", [1, 3, 11])
def test_records_are_equal_for_every_batch_size(classifier, images, batch_size):
    agree(evaluate(classifier, images, TABLE), evaluate(classifier, images, TABLE, batch_size=batch_size))


def test_folding_changes_probabilities_by_rounding_and_nothing_else(classifier, images):
    folded = evaluate(classifier, images, TABLE)
    plain = evaluate(classifier, images, TABLE, optimize="none")
    agree(folded, plain)
    assert folded.provenance.network.startswith("batch normalisation folded")
    assert plain.provenance.network == "as it is"


def test_the_network_as_it_is_runs_where_that_is_asked_for(classifier, images, net):
    net.body[0].register_forward_hook(lambda *_: net.calls.append("hook"))
    evaluate(classifier, images, ["x"], optimize="none")
    assert "hook" in net.calls


@pytest.mark.filterwarnings("ignore:this CPU has no")
@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_classifies_and_attacks_stay_in_single(classifier, images, net, precision, dtype):
    evaluation = Evaluation(classifier, images, RunConfig(precision=precision, batch_size=11))
    evaluation.classifier.probe()
    del net.calls[:]
    evaluation.run(["x", "Adv_1", "PGD_2[steps=2,restarts=2]"])
    attacks = [call for call in net.calls if call[2]]
    others = [call for call in net.calls if not call[2]]
    assert {dtype for dtype, *_ in attacks} == {torch.float32}
    # What is not in half: two images of noise that show in which precision attacks are made, and the losses of restarts.
    assert [call for call in others if call[0] != dtype] == [
        (torch.float32, 2, False),
        *[(torch.float32, 11, False)] * 2,
    ]
    assert (
        sum(size for kind, size, _ in others if kind == dtype) == 3 * 11 + 1
    )  # each view once, one image again
    assert evaluation.provenance.precision == f"{precision} (attacks in fp32)"


@pytest.mark.filterwarnings("ignore:this CPU has no")
def test_l_x_is_the_label_of_the_half_precision_network(classifier, images, net):
    """Here in half precision all logits but one are rounded to the same, so that the top label is another."""
    net.head.bias.data = torch.tensor([0.0, 0.001, 0.002, 0, 0, 0, 0]) + 1000
    net.head.weight.data.mul_(1e-6)
    records = evaluate(classifier, images, ["x", "Adv_1"], precision="bf16")
    with torch.autocast("cpu", torch.bfloat16):
        expected = net(torch.zeros(1, 3, 16, 16)).argmax().item()
    assert expected == 0
    assert set(records.column("prediction", "x")) == {0}
    assert records.mean("kept", "x") == 1
    assert set(evaluate(classifier, images, ["x"]).column("prediction", "x")) == {2}


def test_compiled_records_are_those_of_the_folded_network(classifier, images, monkeypatch):
    """By a stub of the compiler, which takes half a minute: what it is given has always one shape."""
    shapes = set()

    def compiler(network, *, dynamic):
        assert dynamic is False

        def compiled(batch):
            shapes.add(tuple(batch.shape))
            return network(batch)

        return compiled

    monkeypatch.setattr(torch, "compile", compiler)
    agree(
        evaluate(classifier, images, TABLE, batch_size=4),
        evaluate(classifier, images, TABLE, batch_size=4, optimize="compile"),
    )
    assert shapes == {(4, 3, 16, 16)}


def test_a_network_that_cannot_be_compiled_ends_in_what_to_do(classifier, images, monkeypatch):
    def compiler(_network, *, dynamic):
        def compiled(_batch):
            raise torch._dynamo.exc.BackendCompilerFailed(
                ValueError("no compiler"), ValueError("no compiler"), None
            )

        return compiled

    monkeypatch.setattr(torch, "compile", compiler)
    with pytest.raises(
        RobustcheckError, match=r"can't compile net .*leave out --robustcheck-optimize=compile"
    ):
        evaluate(classifier, images, ["x"], optimize="compile")


def test_words_that_are_none_are_told_the_allowed_ones(classifier, images):
    with pytest.raises(RobustcheckError, match=r"optimize.*fast.*none, fold, compile|compile, fold, none"):
        evaluate(classifier, images, ["x"], optimize="fast")
    with pytest.raises(RobustcheckError, match=r"precision.*bf8"):
        evaluate(classifier, images, ["x"], precision="bf8")


class Clock:
    """Time that passes as a network is called: seconds by the number of images."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, seconds

    def __call__(self):
        return self.now

    def passes(self, _module, args):
        self.now += self.seconds(len(args[0]))


@pytest.mark.parametrize(
    ("seconds", "tried", "best"),
    [
        (lambda n: n, [2, 4, 8, 16, 32, 64], 2),  # no size is faster an image than another
        (lambda n: 10 + n, [2, 4, 8, 16, 32, 64], 64),  # a cost for each call
        (lambda n: 10 + n + n**2 / 10, [2, 4, 8, 16, 32], 8),  # and one that grows faster than the batch
    ],
)
def test_the_batch_size_is_the_smallest_that_is_as_fast_as_any(classifier, net, seconds, tried, best):
    clock = Clock(seconds)
    net.register_forward_pre_hook(clock.passes)
    found = measure_batch_sizes(PreparedModel.plain(classifier), clock=clock)
    assert [*found.rates] == tried
    assert found.best == best


def test_sizes_that_memory_has_no_room_for_are_not_taken(classifier, net):
    def refuse(_module, args):
        if len(args[0]) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")

    clock = Clock(lambda n: 10 + n)
    net.register_forward_pre_hook(clock.passes)
    net.register_forward_pre_hook(refuse)
    assert measure_batch_sizes(PreparedModel.plain(classifier), clock=clock).best == 8


def test_a_measured_size_is_in_the_provenance(classifier, images):
    evaluation = Evaluation(classifier, images, RunConfig(batch_size="auto"))
    evaluation.run(["x"])
    size, _, rates = evaluation.provenance.batch_size.partition(", the fastest here ")
    assert evaluation.batch_size == int(size)
    assert re.fullmatch(r"\(images/s of the model alone at 2: \S+(, \d+: \S+)*\)", rates)
