import subprocess
import sys

import pytest

CODE = """
import ctypes
from robustcheck.models.host_memory import keep_freed_memory
print(keep_freed_memory())
"""
FAULTS = """
import resource, torch
from robustcheck.models.host_memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
torch.set_num_threads(1)
for _ in range(8):  # until the heap has a block of that size: four passes, depending on what was imported
    torch.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(20_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def output_of(code, **environment):
    import os

    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**own, **environment}
    ).stdout.strip()


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"])
def test_what_the_environment_sets_goes_first(name):
    assert output_of(CODE, **{name: "100000"}) == "False"


@pytest.mark.slow
@pytest.mark.skipif(output_of(CODE) != "True", reason="the C library is not glibc")
def test_memory_that_was_freed_is_not_faulted_in_again():
    faults = {keep: int(output_of(FAULTS.format(keep=keep))) for keep in (False, True)}
    assert faults[True] * 20 < faults[False]
