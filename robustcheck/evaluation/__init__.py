"""From views to records: what to compute, and computing it batch by batch."""

from robustcheck.evaluation.engine import Evaluation, evaluate
from robustcheck.evaluation.runner import RunConfig

__all__ = ["Evaluation", "RunConfig", "evaluate"]
