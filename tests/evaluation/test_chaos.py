"""Nothing is lost, however a run is ended; `ROBUSTCHECK_CHAOS=100` tries it as often as it takes to be sure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("chaos.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_nothing_is_lost_and_at_most_a_shard_is_done_again():
    times = int(os.environ.get("ROBUSTCHECK_CHAOS", "12"))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(times), f"--others={max(2, times // 6)}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + 7
    assert any(int(line[32:45]) > 0 for line in lines[2:5])  # some were ended before they were through
