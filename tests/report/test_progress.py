import pytest

from robustcheck.report.progress import Progress


@pytest.fixture
def told():
    return []


def run(told, *, rewrites, seconds=20, total=100, detail=str):
    now = [0.0]
    progress = Progress(told.append, rewrites=rewrites, clock=lambda: now[0], detail=detail)
    for done in range(1, total + 1):
        now[0] += seconds / total
        progress(done, total)
    assert now[0] == pytest.approx(seconds)


def seen(written):
    """Return what a terminal shows of a line that is written over itself."""
    shown = ""
    for text in written.split("\r"):
        shown = text + shown[len(text) :]
    return shown


def test_nothing_is_said_of_what_is_quick(told):
    run(told, rewrites=True, seconds=2.5)
    assert told == []


def test_a_log_gets_one_line_a_minute(told):
    run(told, rewrites=False, seconds=150, detail=lambda: "shard 1 of 2, 11 views")
    assert [text.strip() for text in told] == [
        "robustcheck: 3 of 100 images, 0.7 images/s, 2 min left at most, shard 1 of 2, 11 views",
        "robustcheck: 43 of 100 images, 0.7 images/s, 86 s left at most, shard 1 of 2, 11 views",
        "robustcheck: 83 of 100 images, 0.7 images/s, 26 s left at most, shard 1 of 2, 11 views",
    ]


def test_a_terminal_gets_one_line_rewritten_and_wiped(told):
    run(told, rewrites=True)
    assert len(told) > 10
    assert all(text.startswith("\r") and "\n" not in text for text in told)
    assert told[-1].strip() == ""


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ("100", "robustcheck: 16 of 100 images, 5.0 images/s, 17 s left at most, shard 1 of 2, 11 views"),
        ("80", "robustcheck: 16 of 100 images, 5.0 images/s, 17 s left at most"),
        ("20", "robustcheck: 16 of "),
    ],
)
def test_a_line_is_no_wider_than_the_terminal(told, monkeypatch, columns, line):
    monkeypatch.setenv("COLUMNS", columns)
    run(told, rewrites=True, detail=lambda: "shard 1 of 2, 11 views")
    assert told[0] == f"\r{line}"
    assert max(len(text.strip("\r")) for text in told) < int(columns)
    assert seen("".join(told[:-1])).strip()
    assert not seen("".join(told)).strip()


def test_every_evaluation_starts_anew(told):
    now = [0.0]
    progress = Progress(told.append, rewrites=False, clock=lambda: now[0])
    for _ in range(2):
        for done in (1, 2, 3):
            now[0] += 2
            progress(done, 4)
    assert len(told) == 2
