import subprocess
import sys

import pytest

READ = """
from pathlib import Path

import numpy as np
from robustcheck.records.parquet import from_parquet, to_parquet

data = to_parquet({"a": np.arange(9, dtype=np.int32)}, {"format": 1})
Path("a.parquet").write_bytes(data)
before = len([*Path("/proc/self/task").iterdir()])
for source in (data, Path("a.parquet")):
    assert from_parquet(source)[0].numbers["a"].tolist() == [*range(9)]
print(len([*Path("/proc/self/task").iterdir()]) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_reading_starts_no_thread_that_could_outlive_the_interpreter(tmp_path):
    pytest.importorskip("pyarrow")
    run = subprocess.run(
        [sys.executable, "-c", READ], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout == "0\n"
