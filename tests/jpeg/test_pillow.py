"""The pool of threads gives the same pixels with torchvision and without."""

from __future__ import annotations

import threading

import pytest
import torch

from robustcheck.jpeg import pillow
from robustcheck.jpeg import self_test as agreement


@pytest.mark.parametrize("agrees", [True, False])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_both_libraries(monkeypatch, photograph, by_pillow, agrees, subsampling):
    monkeypatch.setattr(agreement, "torchvision_agrees", lambda: agrees)
    images = torch.cat([photograph(name, 57, 64) for name in ("coffee", "rocket", "astronaut")])
    qualities = [15, 75, 100]
    assert torch.equal(
        pillow.roundtrip(images, qualities, subsampling), by_pillow(images, qualities, subsampling)
    )


def test_a_process_of_one_thread_starts_no_other(monkeypatch, photograph):
    used = set()
    real = pillow.by_pillow
    monkeypatch.setattr(agreement, "torchvision_agrees", lambda: False)
    monkeypatch.setattr(pillow, "by_pillow", lambda *a: (used.add(threading.get_ident()), real(*a))[1])
    images = photograph("coffee", 16, 16).expand(6, -1, -1, -1)
    for threads, expected in ((1, {threading.get_ident()}), (2, None)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        used.clear()
        pillow.roundtrip(images, [75] * 6, "4:2:0")
        assert used == expected if expected else threading.get_ident() not in used


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch, photograph):
    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(agreement, "torchvision_agrees", lambda: False)
    monkeypatch.setattr(pillow, "by_pillow", fail)
    with pytest.raises(OSError, match="no space"):
        pillow.roundtrip(photograph("coffee", 16, 16).expand(4, -1, -1, -1), [75] * 4, "4:2:0")
