"""Speed that a repository can gate on, on top of pytest-benchmark: CUDA-true times, images per second, speedups."""
