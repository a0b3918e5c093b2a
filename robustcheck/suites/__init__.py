"""Test modules that ship: `--robustcheck-suite=NAME`."""
