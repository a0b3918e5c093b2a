import pytest
import torch

from robustcheck import RobustcheckError, RobustnessWarning
from robustcheck.models import Precision

CPU = torch.device("cpu")


def test_an_unknown_precision_is_told_the_known_ones():
    with pytest.raises(RobustcheckError, match=r"fp23.*did you mean.*fp32"):
        Precision.on(CPU, "fp23")


def test_tf32_is_refused_where_there_is_none():
    with pytest.raises(RobustcheckError, match="tf32 needs a CUDA device, got cpu"):
        Precision.on(CPU, "tf32")


def test_a_cpu_that_emulates_says_so(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False, raising=False)
    with pytest.warns(RobustnessWarning, match="no bf16 arithmetic"):
        assert Precision.on(CPU, "bf16").is_half


@pytest.mark.parametrize(
    ("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)]
)
def test_products_are_computed_in_it(name, dtype):
    with Precision(name, CPU).classifying():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.fixture(params=[True, False])
def switches(request):
    """What allows TensorFloat-32 on CUDA, set one way or the other before."""
    found = (torch.backends.cudnn, torch.backends.cuda.matmul)
    own = [switch.allow_tf32 for switch in found]
    for switch in found:
        switch.allow_tf32 = request.param
    yield found, request.param
    for switch, was in zip(found, own, strict=True):
        switch.allow_tf32 = was


@pytest.mark.parametrize(("name", "allowed"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_tensorfloat_is_on_just_where_it_is_asked_for_and_put_back(switches, name, allowed):
    found, before = switches
    with Precision(name, torch.device("cuda", 0)).arithmetic():
        assert [switch.allow_tf32 for switch in found] == [allowed, allowed]
    assert [switch.allow_tf32 for switch in found] == [before, before]
