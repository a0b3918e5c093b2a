"""Faults that a gate should notice: each changes one thing of a run's own set-up.

A `Mutation` is declared in the file of its subject; `registry.MUTATIONS` has all of them by name. What becomes of a run
under each is the suite's: `robustcheck.suites.mutation`.
"""
