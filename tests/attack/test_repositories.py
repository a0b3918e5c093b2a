"""Hostile folders of Hugging Face's kind: their weights run nothing, and their configurations build nothing vast."""

import json
import os

import pytest
import torch

from robustcheck import RobustcheckError
from robustcheck.models import load_model
from tests.attack import checkpoint_files as files
from tests.attack.child import outcomes

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

PROCESSOR = {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}}
VIT = {
    "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "image_size": 16,
    "patch_size": 8, "num_labels": 3,
}  # fmt: skip
RESNET = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "num_labels": 3,
}
CONFIGS = {
    "layers": {**VIT, "num_hidden_layers": 10**7},
    "depths": {**RESNET, "depths": [1, 10**7]},
    "layers of a backbone": {**VIT, "backbone_config": {"num_layers": 10**7}},
    "stages": {**RESNET, "depths": [1] * 5000, "hidden_sizes": [8] * 5000},
    "labels": {**VIT, "num_labels": 10**9},
    "names of labels": {**VIT, "id2label": {str(n): "x" for n in range(150_000)}},
    "width": {**VIT, "hidden_size": 2 * 10**5},
    "positions": {**VIT, "image_size": 10**6},
    "more than the weights": {**VIT, "intermediate_size": 10**7},
    "code": {**VIT, "auto_map": {"AutoConfig": "evil.Config"}, "model_type": "evil"},
    "nesting": "[" * 100_000,
    "no JSON": "\x00",
}
WEIGHTS = {
    "code": files.torch_file(files.RUN),
    "numpy": files.scalar(files.dtype(files.text("i4,O"))),
    "zip bomb": files.zip_bomb(1500),
    "two entries": dict(files.archives())["two entries of one name"],
    "meta": dict(files.odd_tensors())["meta"],
}


def folder_of(path, config, weights=None):
    path.mkdir()
    text = (
        config
        if isinstance(config, str)
        else json.dumps({"model_type": "vit", "architectures": ["ViTForImageClassification"], **config})
    )
    (path / "config.json").write_text(text)
    (path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    if weights is None:
        torch.save({"weight": torch.zeros(2)}, path / "pytorch_model.bin")
    else:
        (path / "pytorch_model.bin").write_bytes(weights)
        (path / "optimizer.bin").write_bytes(b"\0" * 10_000)  # as many bytes as the network needs
    return path


def index(path, name):
    (path / "pytorch_model.bin").rename(path.parent / "elsewhere.bin")
    (path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"x": name}}))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What came of each folder, in a child process of little time and memory."""
    top, work = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("work")
    made = {
        f"config/{name}": folder_of(top / f"c{n}", config) for n, (name, config) in enumerate(CONFIGS.items())
    }
    made |= {
        f"weights/{name}": folder_of(top / f"w{n}", VIT, data)
        for n, (name, data) in enumerate(WEIGHTS.items())
    }
    for name in ("pytorch_model.bin", "model.safetensors", "preprocessor_config.json", "config.json"):
        path = made[f"fifo/{name}"] = folder_of(top / name, VIT)
        (path / name).unlink(missing_ok=True)
        os.mkfifo(path / name)
    for name in ("../elsewhere.bin", "/dev/zero"):
        path = made[f"index/{name}"] = folder_of(top / f"i{len(made)}", VIT)
        index(path, name)
    found = outcomes([(name, "model", f"hf:{path}") for name, path in made.items()], work)
    return found, list(work.iterdir())


CASES = [
    *(f"config/{name}" for name in CONFIGS),
    *(f"weights/{name}" for name in WEIGHTS),
    *(
        f"fifo/{name}"
        for name in ("pytorch_model.bin", "model.safetensors", "preprocessor_config.json", "config.json")
    ),
    *(f"index/{name}" for name in ("../elsewhere.bin", "/dev/zero")),
]


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_folder_ends_in_one_line(results, case):
    kind, message = results[0][case]
    assert kind == "RobustcheckError", message
    assert "\n" not in message
    assert message.isprintable()


def test_nothing_ran_and_nothing_was_written(results):
    assert results[1] == []


@pytest.mark.parametrize(
    ("case", "limit"),
    [
        ("layers", "layers:10000000"),
        ("depths", "layers:10000001"),
        ("labels", "classes:1000000000"),
        ("width", "parameters:"),
    ],
)
def test_the_limit_is_named(results, case, limit):
    assert f"--robustcheck-input-limits={limit}" in results[0][f"config/{case}"][1]


@pytest.mark.parametrize(
    ("case", "says"), [("code", "would run posix.system"), ("numpy", "'i4,O'"), ("meta", "meta device")]
)
def test_pickled_weights_are_read_as_any_checkpoint(results, case, says):
    assert says in results[0][f"weights/{case}"][1]


def small_vit():
    torch.manual_seed(0)
    return transformers.ViTForImageClassification(transformers.ViTConfig(**VIT)).eval()


@pytest.mark.parametrize("shards", [1, 2])
def test_sound_pickled_weights_are_loaded(tmp_path, shards):
    net, path = small_vit(), tmp_path / "net"
    net.save_pretrained(path)
    (path / "model.safetensors").unlink()
    (path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    state = list(net.state_dict().items())
    names = ["pytorch_model.bin"] if shards == 1 else [f"pytorch_model-{n}.bin" for n in range(shards)]
    for n, name in enumerate(names):
        torch.save(dict(state[n::shards]), path / name)
    if shards > 1:
        where = {key: names[n % shards] for n, (key, _) in enumerate(state)}
        (path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    loaded = load_model(f"hf:{path}", device="cpu")
    assert all(value.equal(net.state_dict()[key]) for key, value in loaded.module.state_dict().items())


def test_safetensors_are_preferred(tmp_path):
    net, path = small_vit(), tmp_path / "net"
    net.save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    (path / "pytorch_model.bin").write_bytes(WEIGHTS["code"])
    loaded = load_model(f"hf:{path}", device="cpu")
    assert loaded.module.classifier.weight.equal(net.classifier.weight)


def test_a_head_that_pickled_weights_lack_is_refused(tmp_path):
    net, path = small_vit(), tmp_path / "net"
    net.save_pretrained(path)
    (path / "model.safetensors").unlink()
    (path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    torch.save(
        {key: value for key, value in net.state_dict().items() if "classifier" not in key},
        path / "pytorch_model.bin",
    )
    with pytest.raises(RobustcheckError, match=r"has no weights for classifier\.bias, classifier\.weight"):
        load_model(f"hf:{path}", device="cpu")
