from __future__ import annotations

import argparse
import sys
import zipfile

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file, save_model
from torch import nn
from torchvision.transforms import functional

from robustcheck import RobustcheckError, RobustnessWarning
from robustcheck.models import load_model
from robustcheck.models.checkpoints.checkpoint import read_checkpoint
from robustcheck.models.checkpoints.weights import build_with, load_weights


@pytest.fixture
def saved(tmp_path):
    def save(content, name="weights.pt", **options):
        path = tmp_path / name
        torch.save(content, path, **options)
        return path

    return save


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(
        a.equal(b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


def prefixed(prefix: str, state):
    return {f"{prefix}{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        dict,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: prefixed("module.", state),
        lambda state: {"state_dict": prefixed("module.", state)},
        lambda state: prefixed("_orig_mod.", state),
        lambda state: prefixed("module._orig_mod.", state),
        lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
    ],
)
def test_checkpoints_as_people_save_them_are_read(small_net, saved, wrap):
    theirs, ours = small_net(seed=1), small_net(seed=2)
    assert not same(theirs, ours)
    load_weights(ours, read_checkpoint(saved(wrap(theirs.state_dict()))), name="net")
    assert same(theirs, ours)


# Which of a checkpoint's tensors


def ema(state):
    return {key: value + 1 if value.is_floating_point() else value for key, value in state.items()}


@pytest.mark.parametrize(
    ("wrap", "averaged"),
    [
        (
            lambda state: {
                "epoch": 3,
                "model_state_dict": state,
                "optimizer": {"state": {0: {"a": torch.zeros(1)}}},
            },
            False,
        ),
        (
            lambda state: {
                "net": state,
                "acc": 0.9,
                "best": np.float64(0.9),
                "args": argparse.Namespace(lr=1),
            },
            False,
        ),
        (lambda state: {"checkpoint": {"generation": {"classifier": state}}}, False),
        (lambda state: {"state_dict": prefixed("model.", state), "pytorch-lightning_version": "2.4"}, False),
        (lambda state: {**prefixed("module.", state), "n_averaged": torch.tensor(7)}, False),
        (lambda state: {"state_dict_ema": ema(state)}, True),
        (lambda state: {"params_ema": ema(state), "loss": {"a": torch.zeros(1)}}, True),
    ],
)
def test_the_networks_tensors_are_found_among_others(small_net, saved, wrap, averaged):
    theirs, ours = small_net(seed=1), small_net(seed=2)
    checkpoint = read_checkpoint(saved(wrap(theirs.state_dict())))
    load_weights(ours, checkpoint, name="net")
    assert ours.head.bias.equal(theirs.head.bias + averaged)
    assert same(theirs, ours) is not averaged


@pytest.mark.parametrize(
    ("wrap", "taken", "left"),
    [
        (lambda state: {"state_dict": state, "state_dict_ema": ema(state)}, "state_dict_ema", "state_dict"),
        (lambda state: {"model": state, "model_ema": prefixed("module.", ema(state))}, "model_ema", "model"),
        (lambda state: prefixed("model.", state) | prefixed("ema_model.", ema(state)), "ema_model", "model"),
    ],
)
def test_an_averaged_copy_goes_first_and_that_is_said(small_net, saved, wrap, taken, left):
    theirs, ours = small_net(seed=1), small_net(seed=2)
    path = saved(wrap(theirs.state_dict()))
    with pytest.warns(
        RobustnessWarning, match=rf"the averaged copy '{taken}' of {path}, not '{left}'; {path}#KEY chooses"
    ):
        checkpoint = read_checkpoint(path)
    load_weights(ours, checkpoint, name="net")
    assert ours.head.bias.equal(theirs.head.bias + 1)
    load_weights(ours, read_checkpoint(f"{path}#{left}"), name="net")
    assert same(theirs, ours)


def test_two_networks_of_no_usual_name_are_not_guessed_between(small_net, saved):
    path = saved({"teacher": small_net(seed=1).state_dict(), "pupil": small_net(seed=2).state_dict()})
    with pytest.raises(
        RobustcheckError, match=rf"holds 2 state dicts: teacher, pupil; .*weights={path}#teacher"
    ):
        read_checkpoint(path)
    ours = small_net()
    load_weights(ours, read_checkpoint(f"{path}#pupil"), name="net")
    assert same(ours, small_net(seed=2))
    with pytest.raises(RobustcheckError, match=r"unknown state dict of .*'pupli': did you mean 'pupil'"):
        read_checkpoint(f"{path}#pupli")


def test_a_layer_that_is_called_ema_is_a_layer(saved):
    theirs, ours = nn.Module(), nn.Module()
    for net in (theirs, ours):
        net.ema, net.head = nn.Linear(2, 3), nn.Linear(3, 2)
    load_weights(ours, read_checkpoint(saved(theirs.state_dict())), name="net")
    assert same(theirs, ours)


@pytest.mark.filterwarnings("ignore::robustcheck.RobustnessWarning")
def test_reports_say_which_copy_was_taken(saved):
    state = torchvision.models.resnet18(num_classes=3).state_dict()
    path = saved({"state_dict": state, "state_dict_ema": ema(state)})
    classifier = load_model("resnet18", weights=path, device="cpu")
    assert classifier.to("cpu").origin == f"the averaged copy 'state_dict_ema' of {path}, not 'state_dict'"


def test_a_network_whose_own_part_is_called_module_keeps_its_names(saved):
    theirs, ours = (nn.Module(), nn.Module())
    theirs.module, ours.module = nn.Linear(2, 3), nn.Linear(2, 3)
    load_weights(ours, read_checkpoint(saved(theirs.state_dict())), name="net")
    assert same(theirs, ours)


def test_the_old_format_and_safetensors_are_read(small_net, saved, tmp_path):
    theirs = small_net(seed=1)
    save_file(theirs.state_dict(), tmp_path / "net.safetensors")
    old = saved(theirs.state_dict(), "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "misnamed.pt").write_bytes((tmp_path / "net.safetensors").read_bytes())
    for path in (old, tmp_path / "net.safetensors", str(tmp_path / "misnamed.pt")):
        ours = small_net(seed=2)
        load_weights(ours, read_checkpoint(path), name="net")
        assert same(theirs, ours)


def test_weights_of_another_network_are_refused_with_what_does_not_fit(small_net, saved):
    state = small_net(width=7).state_dict()
    state["extra"] = torch.zeros(2)
    del state["head.bias"]
    path = saved(state)
    with pytest.raises(RobustcheckError) as caught:
        load_weights(small_net(), read_checkpoint(path), name="small net")
    message = str(caught.value)
    assert message.startswith(
        f"{path} holds the weights of another network than small net: 1 of its 9 tensors fit. "
    )
    assert "missing: head.bias" in message
    assert "not in small net: extra" in message
    assert (
        "stem.weight has shape (7, 3, 3, 3), not (6, 3, 3, 3), stem.bias has shape (7,), not (6,)" in message
    )
    assert "and 4 more" in message


def test_refused_weights_leave_the_network_as_it_was(small_net, saved):
    state = small_net(seed=1).state_dict()
    del state["head.bias"]
    ours = small_net(seed=2)
    with pytest.raises(RobustcheckError, match=r"missing: head.bias"):
        load_weights(ours, read_checkpoint(saved(state)), name="net")
    assert same(ours, small_net(seed=2))


def test_another_number_of_classes_is_taken_over(small_net, saved):
    theirs = small_net(classes=9, seed=1)
    built = build_with(
        lambda classes: small_net(classes=classes or 5),
        read_checkpoint(saved(theirs.state_dict())),
        name="net",
    )
    assert same(theirs, built.module)
    assert not built.has_own_classes


def test_the_same_number_of_classes_is_said_to_be_so(small_net, saved):
    path = saved(small_net(seed=1).state_dict())
    assert build_with(lambda classes: small_net(), read_checkpoint(path), name="net").has_own_classes


# Files that are no weights


def test_a_whole_network_or_its_arguments_are_refused_by_name(small_net, saved):
    with pytest.raises(RobustcheckError, match=r"would run torch.nn.modules.container.Sequential"):
        read_checkpoint(saved(nn.Sequential(nn.Linear(2, 2))))


def test_programs_are_told_from_weights(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 2, 3))
    archive = tmp_path / "script.pt"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("script/code/__torch__.py", "class Net: pass")
        made.writestr("script/constants.pkl", b"")
    exported = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 8, 8),)), exported)
    for path in (archive, exported):
        with pytest.raises(RobustcheckError, match="is a TorchScript or exported program, not weights"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: no weights to read"),
        (
            b"hello, this is not a checkpoint",
            r"is not a checkpoint: .* \(it starts with b'hello, t'\)",
        ),
        (b"<!DOCTYPE html><html></html>", "starts with b'<!DOCTYP'"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid",
            "is a pointer of Git LFS, not the weights: run git lfs pull",
        ),
        (b"\x10\0\0\0\0\0\0\0{not json at all}", "cannot be read as safetensors"),
        (b"PK\x03\x04 and then nothing", "is truncated or damaged"),
        (b"\x80\x02}q\x00", "is truncated or damaged"),
    ],
)
def test_a_file_that_is_no_checkpoint_says_what_it_is(tmp_path, content, message):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(RobustcheckError, match=message):
        read_checkpoint(path)


def test_a_checkpoint_that_was_cut_off_is_refused(small_net, saved):
    path = saved(small_net().state_dict())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RobustcheckError, match=r"is not a checkpoint: .* is truncated or damaged"):
        read_checkpoint(path)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(RobustcheckError, match=r"no weights at .*nowhere.pt: the file does not exist"):
        read_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(RobustcheckError, match="must be a file"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "must hold a state dict, got a Tensor"),
        ([1, 2], "must hold a state dict, got a list"),
        ({}, "its keys are none"),
        (
            {"epoch": 1, "history": {"loss": torch.zeros(1)}},
            "its keys are epoch, history; a state dict has .*, at the top",
        ),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, "its keys are a, b, c, d;"),
    ],
)
def test_a_checkpoint_without_a_state_dict_is_refused(saved, content, message):
    with pytest.raises(RobustcheckError, match=message):
        read_checkpoint(saved(content))


def test_safetensors_without_the_package_says_what_to_install(small_net, tmp_path, monkeypatch):
    save_file(small_net().state_dict(), tmp_path / "net.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(RobustcheckError, match="is a safetensors file: pip install safetensors"):
        read_checkpoint(tmp_path / "net.safetensors")


# Through load_model


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("something was downloaded")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    monkeypatch.setattr("timm.models._hub.hf_hub_download", refuse)


@pytest.mark.usefixtures("offline")
def test_torchvision_on_own_weights_downloads_nothing_and_keeps_the_rule(saved):
    theirs = torchvision.models.resnet18()
    classifier = load_model("resnet18", weights=saved(theirs.state_dict()), device="cpu")
    assert same(theirs, classifier.module)
    assert classifier.preprocessing.describe().startswith(
        "shorter side to 256 (bilinear), centre crop 224x224, mean (0.485"
    )
    assert classifier.class_names[0] == "tench"
    assert len(classifier.class_names) == classifier.probe() == 1000
    assert classifier.name == "resnet18"


@pytest.mark.usefixtures("offline")
def test_torchvision_with_other_classes_has_no_names_for_them(saved):
    theirs = torchvision.models.resnet18(num_classes=10)
    classifier = load_model("resnet18", weights=str(saved(theirs.state_dict())), device="cpu")
    assert classifier.class_names is None
    assert classifier.probe() == 10


def test_torchvision_refuses_weights_of_another_network(saved):
    path = saved(torchvision.models.mobilenet_v3_small().state_dict())
    with pytest.raises(
        RobustcheckError, match=r"another network than resnet18: 0 of its 244 tensors fit. missing: conv1"
    ):
        load_model("resnet18", weights=path, device="cpu")


@pytest.mark.usefixtures("offline")
def test_the_files_on_torchvisions_hub_load_though_their_names_are_old(saved):
    theirs = torchvision.models.densenet121()
    on_the_hub = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for key, value in theirs.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in on_the_hub
    classifier = load_model("densenet121", weights=saved(on_the_hub), device="cpu")
    assert same(theirs, classifier.module)


@pytest.mark.usefixtures("offline")
def test_googlenet_gets_its_own_input_transform_and_loses_what_only_training_uses(saved):
    theirs = torchvision.models.googlenet(init_weights=False, transform_input=True, aux_logits=True).eval()
    with torch.no_grad():
        theirs.fc.weight *= 1e5  # a random network hardly looks at its input
    classifier = load_model("googlenet", weights=saved(theirs.state_dict()), device="cpu")
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    rule = torchvision.models.GoogLeNet_Weights.DEFAULT.transforms()
    shown = functional.normalize(functional.convert_image_dtype(images), rule.mean, rule.std)
    expected = theirs(shown)
    theirs.transform_input = False
    assert not torch.allclose(expected, theirs(shown), atol=1e-1)
    assert torch.allclose(classifier(images), expected, atol=1e-2)


@pytest.mark.usefixtures("offline")
def test_timm_on_own_weights_downloads_nothing_and_keeps_the_rule(saved, tmp_path):
    import timm

    theirs = timm.create_model("test_resnet.r160_in1k")
    save_file(theirs.state_dict(), tmp_path / "net.safetensors")
    for path in (
        saved({"state_dict": prefixed("module.", theirs.state_dict())}),
        tmp_path / "net.safetensors",
    ):
        classifier = load_model("timm:test_resnet.r160_in1k", weights=path, device="cpu")
        assert same(theirs, classifier.module)
        assert classifier.preprocessing.input_size == (160, 160)
        assert classifier.preprocessing.resize == 168
        assert classifier.class_names[1] == "goldfish"
    fewer = saved(timm.create_model("test_resnet", num_classes=4).state_dict())
    assert load_model("timm:test_resnet.r160_in1k", weights=fewer, device="cpu").probe() == 4


@pytest.mark.usefixtures("offline")
def test_timm_reads_names_that_timm_itself_would_convert(saved):
    import timm

    theirs = timm.create_model("vit_tiny_patch16_224")
    as_deit_saves_it = {"model": {**theirs.state_dict(), "head_dist.weight": torch.zeros(1)}}
    with pytest.raises(RobustcheckError, match=r"not in timm:vit_tiny_patch16_224: head_dist.weight"):
        load_model("timm:vit_tiny_patch16_224", weights=saved(as_deit_saves_it), device="cpu")
    flat = theirs.state_dict()
    flat["patch_embed.proj.weight"] = flat["patch_embed.proj.weight"].flatten(1)
    classifier = load_model("timm:vit_tiny_patch16_224", weights=saved(flat), device="cpu")
    assert same(theirs, classifier.module)


# As the network's own loader would load them


class Versioned(nn.Module):
    """Version 2 keeps its classes in another order than version 1."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 3)

    def _load_from_state_dict(self, state, prefix, metadata, *rest):
        if metadata.get("version", 1) < 2:
            state[f"{prefix}head.weight"] = state[f"{prefix}head.weight"].flip(0)
        super()._load_from_state_dict(state, prefix, metadata, *rest)


class Scaled(nn.Module):
    """Extra state that matters."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.head, self.scale, self.table = nn.Linear(2, 3), scale, torch.zeros(2)

    def get_extra_state(self):
        return {"scale": self.scale, "table": self.table}

    def set_extra_state(self, state):
        self.scale, self.table = state["scale"], state["table"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net.state_dict(),
        lambda net: {"model": nn.DataParallel(net).state_dict()},
        lambda net: nn.ModuleDict({"model": net, "loss": nn.Linear(1, 1)}).state_dict(),
    ],
    ids=["plain", "data parallel", "beside a criterion"],
)
@pytest.mark.parametrize("archive", [True, False])
def test_versions_of_layers_are_kept(saved, wrap, archive):
    theirs, ours = Versioned(), Versioned()
    load_weights(
        ours, read_checkpoint(saved(wrap(theirs), _use_new_zipfile_serialization=archive)), name="net"
    )
    assert same(theirs, ours)
    load_weights(ours, read_checkpoint(saved(dict(theirs.state_dict()))), name="net")
    assert ours.head.weight.equal(theirs.head.weight.flip(0)), "without versions they are of version 1"


@pytest.mark.parametrize("prefix", ["", "module.", "net.inner."])
def test_extra_state_is_kept(saved, prefix):
    theirs, ours = Scaled(7.0), Scaled()
    theirs.table = torch.arange(2.0)
    load_weights(ours, read_checkpoint(saved(prefixed(prefix, theirs.state_dict()))), name="net")
    assert (ours.scale, ours.table.tolist()) == (7.0, [0.0, 1.0])


def test_extra_state_must_be_there_if_the_network_has_any_and_only_then(saved):
    plain = nn.ModuleDict({"head": nn.Linear(2, 3)})
    with pytest.raises(RobustcheckError, match="missing: _extra_state"):
        load_weights(Scaled(), read_checkpoint(saved(plain.state_dict())), name="net")
    with pytest.raises(RobustcheckError, match="not in net: _extra_state"):
        load_weights(plain, read_checkpoint(saved(Scaled().state_dict())), name="net")


def test_torchvisions_mnasnet_loads_its_own_weights(saved):
    theirs = torchvision.models.mnasnet0_5(weights=None)
    assert same(load_model("mnasnet0_5", weights=saved(theirs.state_dict()), device="cpu").module, theirs)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(2, 2)
        self.head = self.tail = nn.Linear(2, 3)


def test_tied_weights_of_safetensors_are_loaded(tmp_path):
    theirs, ours = Tied(), Tied()
    save_model(theirs, str(tmp_path / "net.safetensors"))
    load_weights(ours, read_checkpoint(tmp_path / "net.safetensors"), name="net")
    assert same(theirs, ours)
    untied = nn.ModuleDict({"stem": nn.Linear(2, 2), "head": nn.Linear(2, 3), "tail": nn.Linear(2, 3)})
    with pytest.raises(RobustcheckError, match=r"missing: (head|tail)\."):
        load_weights(untied, read_checkpoint(tmp_path / "net.safetensors"), name="net")


def test_old_names_of_weight_norm_are_loaded(saved):
    nets = [nn.ModuleDict({"head": nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))}) for _ in range(2)]
    state = nets[0].state_dict()
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        state[f"head.{old}"] = state.pop(f"head.parametrizations.weight.{new}")
    load_weights(nets[1], read_checkpoint(saved(state)), name="net")
    assert same(*nets)


class Renaming(nn.Module):
    """A load hook of the user's, for names of before."""

    def __init__(self, fails=False):
        super().__init__()
        self.head = nn.Linear(2, 3)
        self.register_load_state_dict_pre_hook(self._rename)
        self.fails = fails

    def _rename(self, _module, state, prefix, *_):
        if self.fails:
            raise KeyError("fc")
        for key in [key for key in state if key.startswith(f"{prefix}fc.")]:
            state[key.replace("fc.", "head.")] = state.pop(key)


def test_load_hooks_of_the_network_are_used(saved):
    theirs, ours = Renaming(), Renaming()
    state = {key.replace("head.", "fc."): value for key, value in theirs.state_dict().items()}
    load_weights(ours, read_checkpoint(saved(prefixed("module.", state))), name="net")
    assert same(theirs, ours)
    with pytest.raises(RobustcheckError, match=r"missing: head.weight.*not in net: fx\.weight"):
        load_weights(
            Renaming(), read_checkpoint(saved(prefixed("fx.", nn.Linear(2, 3).state_dict()))), name="net"
        )
    with pytest.raises(RobustcheckError, match="can't be loaded into net: KeyError: 'fc'"):
        load_weights(Renaming(fails=True), read_checkpoint(saved(theirs.state_dict())), name="net")


@pytest.mark.parametrize(
    "inside", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module"]
)
def test_wrappers_inside_names_are_taken_off(small_net, saved, inside):
    theirs, ours = small_net(seed=1), small_net(seed=2)
    state = {key.replace(".", f".{inside}.", 1): value for key, value in theirs.state_dict().items()}
    load_weights(ours, read_checkpoint(saved(prefixed(f"{inside}.", state))), name="net")
    assert same(theirs, ours)


@pytest.mark.parametrize(
    "others",
    [
        {"criterion.weight": torch.ones(10)},
        {"val_acc.tp": torch.zeros(1)},
        {"teacher.stem.weight": torch.ones(1), "ema_decay": torch.tensor(0.9)},
    ],
)
def test_a_lightning_modules_network_is_found_beside_metrics_and_criteria(small_net, saved, others):
    theirs, ours = small_net(seed=1), small_net(seed=2)
    path = saved({"state_dict": {**prefixed("model.", theirs.state_dict()), **others}})
    load_weights(ours, read_checkpoint(path), name="net")
    assert same(theirs, ours)
    fewer = build_with(lambda classes: small_net(classes=classes or 7), read_checkpoint(path), name="net")
    assert same(theirs, fewer.module)


def test_a_network_that_stands_several_times_in_a_state_dict_is_not_guessed(small_net, saved):
    one, other, more = (small_net(seed=seed).state_dict() for seed in (1, 2, 3))
    both = {**prefixed("student.", one), **prefixed("teacher.", other), "step": torch.zeros(1)}
    path = saved({"state_dict": both})
    with pytest.raises(
        RobustcheckError,
        match=rf"holds net 2 times: under state_dict.student, state_dict.teacher; .*={path}#state_dict.student",
    ):
        load_weights(small_net(), read_checkpoint(path), name="net")
    ours = small_net()
    load_weights(ours, read_checkpoint(f"{path}#state_dict.teacher"), name="net")
    assert ours.head.bias.equal(other["head.bias"])
    path = saved({"state_dict": {**both, **prefixed("net_ema.", more)}})
    with pytest.warns(
        RobustnessWarning, match=r"averaged copy 'state_dict.net_ema' of .*, not 'state_dict.student' and"
    ):
        load_weights(ours, read_checkpoint(path), name="net")
    assert ours.head.bias.equal(more["head.bias"])


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (("ema", "module"), "ema.module"),
        (("callbacks", "EMACallback", "weights"), "callbacks.EMACallback.weights"),
        (("a", "b", "c", "d", "e", "swa_state"), "a.b.c.d.e.swa_state"),
    ],
)
def test_an_averaged_copy_is_found_wherever_it_stands(small_net, saved, path, key):
    state = small_net(seed=1).state_dict()
    inner = ema(state)
    for part in reversed(path):
        inner = {part: inner, "decay": 0.999}
    file = saved({"model": state, **inner})
    with pytest.warns(RobustnessWarning, match=rf"the averaged copy '{key}' of .*, not 'model'"):
        assert read_checkpoint(file).tensors["head.bias"].equal(state["head.bias"] + 1)


@pytest.mark.parametrize("other", ["discriminator", "best.weights_of_epoch_3", "net"])
def test_a_usual_name_beside_another_network_is_said(small_net, saved, other):
    state = small_net(seed=1).state_dict()
    *path, last = other.split(".")
    inner = {last: ema(state)}
    for part in reversed(path):
        inner = {part: inner}
    file = saved({"model": state, **inner})
    with pytest.warns(RobustnessWarning, match=rf"'model' of .*, not '{other}'; .*#KEY chooses another"):
        read_checkpoint(file)


def test_state_dicts_in_a_list_and_of_optimisers(small_net, saved):
    net = small_net(seed=1)
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.rand(2, 3, 8, 8)).sum().backward()
    optimiser.step()
    for content in (
        [net.state_dict(), optimiser.state_dict()],
        {"net": net.state_dict(), "optim": optimiser.state_dict()},
    ):
        assert list(read_checkpoint(saved(content)).tensors) == list(net.state_dict())


def test_an_averaged_copy_under_names_of_another_kind_is_reported(small_net, saved):
    theirs, ours = small_net(seed=1), small_net(seed=2)
    state = theirs.state_dict()
    flat = {f"model_ema.{name.replace('.', '')}": value for name, value in ema(state).items()}
    path = saved({"state_dict": {**prefixed("model.", state), **flat, "model_ema.decay": torch.tensor(0.9)}})
    with pytest.warns(
        RobustnessWarning, match=r"holds an averaged copy \(EMA\) .*\(model_ema\..*plain weights are used"
    ):
        load_weights(ours, read_checkpoint(path), name="net")
    assert same(theirs, ours)


def test_an_index_of_split_weights_says_how_to_join_them(small_net, tmp_path):
    from safetensors.torch import save_file

    theirs, ours = small_net(seed=1), small_net(seed=2)
    items = list(theirs.state_dict().items())
    save_file(dict(items[:2]), tmp_path / "model-00001-of-00002.safetensors")
    save_file(dict(items[2:]), tmp_path / "model-00002-of-00002.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"metadata": {}, "weight_map": {}}')
    with pytest.raises(
        RobustcheckError, match=r"lists the files that weights are split into.*join them"
    ) as raised:
        read_checkpoint(index)
    lines = [line[4:] for line in str(raised.value).splitlines() if line.startswith("    ")]
    code = "\n".join(["import pathlib, safetensors.torch", *lines])
    joined = tmp_path / "weights.safetensors"
    exec(code.replace("'weights.safetensors'", repr(str(joined))))
    load_weights(ours, read_checkpoint(joined), name="net")
    assert same(theirs, ours)


def test_an_archive_that_was_cut_after_an_archive_inside_it_is_damaged(small_net, tmp_path):
    inner, path = tmp_path / "inner.pt", tmp_path / "net.pt"
    torch.save(small_net().state_dict(), inner)
    with zipfile.ZipFile(path, "w") as made:
        made.write(inner, "net/inner.pt")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RobustcheckError, match=r"is truncated or damaged .*directory is not at its end"):
        read_checkpoint(path)
