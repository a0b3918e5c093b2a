import pytest

from robustcheck.report.progress import Progress


@pytest.fixture
def told():
    return []


def run(told, *, rewrites, seconds=20, total=100):
    now = [0.0]
    progress = Progress(told.append, rewrites=rewrites, clock=lambda: now[0])
    for done in range(1, total + 1):
        now[0] += seconds / total
        progress(done, total)
    assert now[0] == pytest.approx(seconds)


def test_nothing_is_said_of_what_is_quick(told):
    run(told, rewrites=True, seconds=2.5)
    assert told == []


def test_a_log_gets_one_line(told):
    run(told, rewrites=False)
    (line,) = told
    assert line.strip() == "robustcheck: 16 of 100 images, 5.0 images/s, 17 s left at most"


def test_a_terminal_gets_one_line_rewritten_and_wiped(told):
    run(told, rewrites=True)
    assert len(told) > 10
    assert all(text.startswith("\r") and "\n" not in text for text in told)
    assert told[-1].strip() == ""


def test_every_evaluation_starts_anew(told):
    now = [0.0]
    progress = Progress(told.append, rewrites=False, clock=lambda: now[0])
    for _ in range(2):
        for done in (1, 2, 3):
            now[0] += 2
            progress(done, 4)
    assert len(told) == 2
