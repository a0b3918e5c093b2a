from __future__ import annotations

import os
import socket
import subprocess
import sys
from urllib.error import HTTPError, URLError

import pytest
import torch
from safetensors.torch import save_file

from robustcheck import RobustcheckError
from robustcheck.models import load_model
from robustcheck.models.checkpoints.download_errors import weights_from


class TransportError(Exception):
    """What httpx raises: no OSError, known by where it is from only."""


TransportError.__module__ = "httpx._exceptions"


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: None)


@pytest.fixture
def unreachable(monkeypatch):
    def break_with(error):
        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr("torch.hub.download_url_to_file", fail)
        monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", fail)

    return break_with


UNREACHABLE = [
    URLError(socket.gaierror(-2, "Name or service not known")),
    HTTPError("https://example.org", 403, "Forbidden", {}, None),
    TimeoutError("timed out"),
    ConnectionResetError(104, "Connection reset by peer"),
    TransportError("All connection attempts failed"),
]


@pytest.mark.parametrize("error", UNREACHABLE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("spec", "hub", "file"),
    [
        ("resnet18", "torchvision's hub", "https://download.pytorch.org/models/resnet18-f37072fd.pth"),
        (
            "timm:test_resnet.r160_in1k",
            "the Hugging Face hub",
            "model.safetensors of https://huggingface.co/timm/test_resnet.r160_in1k",
        ),
    ],
)
def test_the_error_says_which_file_to_get_and_how_to_pass_it(unreachable, error, spec, hub, file):
    unreachable(error)
    with pytest.raises(RobustcheckError) as caught:
        load_model(spec, device="cpu")
    message = str(caught.value)
    assert message.startswith(f"the weights of {spec} could not be fetched from {hub} (")
    assert f"download {file}; " in message
    assert message.endswith("--robustcheck-weights=PATH")


def test_the_reason_is_what_the_socket_said(unreachable):
    error = TransportError("a long story\nof many lines")
    error.__cause__ = socket.gaierror(-2, "Name or service not known")
    unreachable(error)
    with pytest.raises(
        RobustcheckError, match=r"hub \(\[Errno -2\] Name or service not known\)\. On a machine"
    ):
        load_model("timm:test_resnet.r160_in1k", device="cpu")


def test_timm_uses_the_cached_file_when_the_hub_cannot_be_reached(unreachable, monkeypatch, tmp_path):
    import timm

    theirs = timm.create_model("test_resnet.r160_in1k")
    save_file(theirs.state_dict(), tmp_path / "cached.safetensors")
    asked = []

    def cached(repository, filename, revision=None):
        asked.append((repository, filename, revision))
        return str(tmp_path / "cached.safetensors")

    unreachable(ConnectionError("offline"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", cached)
    classifier = load_model("timm:test_resnet.r160_in1k", device="cpu")
    assert classifier.module.conv1[0].weight.equal(theirs.conv1[0].weight)
    assert asked == [("timm/test_resnet.r160_in1k", "model.safetensors", None)]


def test_what_is_not_the_networks_fault_passes():
    with pytest.raises(KeyError), weights_from("a hub", name="net", file="file"):
        raise KeyError("a bug")


@pytest.mark.parametrize("before", [None, 7.0])
def test_a_silent_server_is_given_up_and_the_timeout_put_back(before):
    def ask():
        with weights_from("a hub", name="net", file="file"):
            during.append(socket.getdefaulttimeout())
            raise TimeoutError

    during = []
    socket.setdefaulttimeout(before)
    try:
        with pytest.raises(RobustcheckError, match="TimeoutError"):
            ask()
        assert socket.getdefaulttimeout() == before
    finally:
        socket.setdefaulttimeout(None)
    assert during == [before or 20.0]


@pytest.mark.slow
def test_the_real_clients_fail_at_once_where_nothing_answers(tmp_path):
    program = (
        "import sys, time; from robustcheck.models import load_model\n"
        "slept, sleep = [], time.sleep\n"
        "time.sleep = lambda seconds: (slept.append(seconds), sleep(min(seconds, 0.1)))\n"
        "for spec in ('resnet18', 'timm:test_resnet.r160_in1k'):\n"
        "    try: load_model(spec, device='cpu')\n"
        "    except ValueError as error: print(error, file=sys.stderr)\n"
        "print(sum(slept))\n"
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        environment = {
            **{key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
            **dict.fromkeys(("http_proxy", "https_proxy"), proxy),
            "HF_HOME": str(tmp_path),
            "TORCH_HOME": str(tmp_path),
        }
        run = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    lines = run.stderr.splitlines()
    assert len(lines) == 2, run.stderr
    assert "resnet18-f37072fd.pth" in lines[0]
    assert "huggingface.co/timm/test_resnet.r160_in1k" in lines[1]
    assert float(run.stdout.split()[-1]) < 40  # the client's own retries alone would wait for 46 s


def test_weights_that_are_there_are_used(monkeypatch):
    import torchvision

    theirs = torchvision.models.resnet18()
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *args, **kwargs: theirs.state_dict()
    )
    classifier = load_model("resnet18", device="cpu")
    assert classifier.module.conv1.weight.equal(theirs.conv1.weight)
    assert isinstance(classifier.probe(), int)
    assert not any(
        isinstance(value, torch.Tensor) and value.requires_grad for value in classifier.module.parameters()
    )
