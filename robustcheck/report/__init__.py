"""A finished run as text for people and machines."""

from robustcheck.report.run import Finding, FinishedRun, ReportedClaim, Study, merge_studies

__all__ = ["Finding", "FinishedRun", "ReportedClaim", "Study", "merge_studies"]
