"""The pool of threads gives the same pixels by either library."""

from __future__ import annotations

import threading

import pytest
import torch

from robustcheck.jpeg import pillow, torchvision
from tests.toys import through_pillow


@pytest.mark.parametrize("library", [pillow, torchvision])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_both_libraries(photograph, library, subsampling):
    images = torch.cat([photograph(name, 57, 64) for name in ("coffee", "rocket", "astronaut")])
    qualities = torch.tensor([15, 75, 100])
    assert torch.equal(
        library.roundtrip(images, qualities, subsampling), through_pillow(images, qualities, subsampling)
    )


def test_a_process_of_one_thread_starts_no_other(monkeypatch, photograph):
    used = set()

    def through(*arguments):
        used.add(threading.get_ident())
        return pillow.by_pillow(*arguments)

    images = photograph("coffee", 16, 16).expand(6, -1, -1, -1)
    for threads, expected in ((1, {threading.get_ident()}), (2, None)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        used.clear()
        pillow.in_threads(through, images, torch.tensor([75] * 6), "4:2:0")
        assert used == expected if expected else threading.get_ident() not in used


def test_an_error_in_a_thread_reaches_the_caller(photograph):
    def fail(*_):
        raise OSError("no space")

    images = photograph("coffee", 16, 16).expand(4, -1, -1, -1)
    with pytest.raises(OSError, match="no space"):
        pillow.in_threads(fail, images, torch.tensor([75] * 4), "4:2:0")
