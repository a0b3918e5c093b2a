"""From views to records: what to compute, computing it batch by batch, and whether to trust it."""

from robustcheck.evaluation.engine import Evaluation, Look, evaluate

__all__ = ["Evaluation", "Look", "evaluate"]
