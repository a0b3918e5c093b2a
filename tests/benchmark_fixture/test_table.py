"""The table's text."""

from robustcheck.benchmark.speedup import Speedup
from robustcheck.benchmark.table import Measurement, render

CPU, CUDA = "cpu (AMD EPYC, 2 threads)", "cuda (NVIDIA H100)"
ROWS = [
    Measurement("test_codec", CPU, 0.0123, images=32, peak_memory=75 * 2**20, notes=("0.1 % differ",)),
    Measurement(
        "test_against_a_script",
        CPU,
        5.9,
        20,
        ratio=Speedup((5.9,) * 9, (20.2, 19, 21, 22, 20, 20, 20, 18, 23)),
    ),
    Measurement("test_codec", CUDA, 0.000123, images=256, peak_memory=2_000_000_000),
    Measurement(
        "test_of_something_with_quite_a_long_name[and-parameters]", CPU, 2.5, images=20, peak_memory=5000
    ),
    Measurement("test_bookkeeping", CPU, 4.2e-5),
]
TEXT = """\
on cpu (AMD EPYC, 2 threads)
                                               per call    images/s  peak memory
test_codec                                      12.3 ms       2,602       75 MiB
    0.1 % differ
test_of_something_with_quite_a_long_name[and-parameters]
                                                 2.50 s         8.0        5 KiB
test_bookkeeping                                42.0 us
interleaved                           ratio   95 % interval       ours    theirs
test_against_a_script                  3.39   3.22 .. 3.73      5.90 s    20.0 s

on cuda (NVIDIA H100)
                                               per call    images/s  peak memory
test_codec                                       123 us   2,081,301    1,907 MiB
"""


def test_golden_text():
    assert "\n".join(render(ROWS)) + "\n" == TEXT


def test_nothing_measured_is_nothing_shown():
    assert render([]) == []
