"""From views to records: what to compute, and computing it batch by batch."""

from robustcheck.evaluation.engine import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
