"""Every row of the registry leads to an implementation."""

from __future__ import annotations

import pytest
import torch

from robustcheck import jpeg
from robustcheck.jpeg.registry import CODECS, implementation


@pytest.mark.parametrize("name", CODECS)
def test_every_row_can_be_loaded(name):
    row = CODECS[name]
    for module in filter(None, (row.module, row.faster)):
        loaded = implementation(module)
        assert callable(loaded.roundtrip)
        assert loaded.library()
        assert loaded.unsupported_reason(torch.device("cpu")) is None or name == "triton"
    assert jpeg.codec_info(name).codec == name
