"""A finished run as text for people and machines."""

from robustcheck.report.run import (
    Check,
    Finding,
    FinishedRun,
    Place,
    ReportedClaim,
    Study,
    Trouble,
    merge_studies,
)

__all__ = [
    "Check",
    "Finding",
    "FinishedRun",
    "Place",
    "ReportedClaim",
    "Study",
    "Trouble",
    "merge_studies",
]
