"""The command that counts differing samples finds none, and would find some."""

from __future__ import annotations

import numpy as np

from robustcheck.jpeg import tensor, verify


def test_two_hundred_cases(capsys):
    assert verify.main(["--cases", "200", "--seed", "5"]) == 0
    assert "\n0 differing samples of" in capsys.readouterr().out


def test_a_wrong_codec_is_found_and_the_case_named(monkeypatch, capsys):
    real = tensor.roundtrip
    monkeypatch.setattr(tensor, "roundtrip", lambda *a: real(*a) ^ 1)
    assert verify.main(["--cases", "2"]) == 1
    output = capsys.readouterr().out
    assert "(2 cases differ)" in output
    assert "quality" in output.splitlines()[0]


def test_cases_follow_from_the_seed_and_cover_the_edges():
    def draw():
        rng = np.random.default_rng(3)
        return [verify.random_case(rng) for _ in range(300)]

    first, again = draw(), draw()
    assert all(
        np.array_equal(a.pixels, b.pixels) and a.quality == b.quality
        for a, b in zip(first, again, strict=True)
    )
    assert {case.kind for case in first} == {"noise", "flat", "saturated", "checkerboard", "waves"}
    assert {case.subsampling for case in first} == {"4:4:4", "4:2:2", "4:2:0"}
    assert min(case.pixels.shape[1] for case in first) == 1
