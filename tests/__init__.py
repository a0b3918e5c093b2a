"""A package, so that `python -m tests.gpu` finds it before any other that is called tests."""
