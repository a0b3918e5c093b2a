"""Claims that failed as GitLab's code quality report, which merge requests show at their lines.

Source: GitLab's documentation, "Code Quality report format".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from robustcheck.atomic_io import atomic_write
from robustcheck.report.formats.sarif import rule_id
from robustcheck.report.run import FinishedRun, ReportedClaim
from robustcheck.report.summary import Summary
from robustcheck.text import printable

NAME = "code-quality"


def write(_run: FinishedRun, summary: Summary, path: Path) -> list[Path]:
    """Write the claims that failed as a code quality report."""
    atomic_write(path, json.dumps(entries(summary.claims), indent=1) + "\n")
    return [path]


def entries(claims: Iterable[ReportedClaim]) -> list[dict[str, object]]:
    """Return an entry for each claim that failed."""
    return [
        {
            "description": printable(f"{claim.title}: {claim.numbers}"),
            "check_name": rule_id(claim.state),
            "fingerprint": hashlib.sha256(f"{claim.id} {claim.model}".encode("utf-8", "replace")).hexdigest(),
            "severity": "critical" if claim.state == "refuted" else "major",
            "location": {"path": claim.file or claim.test, "lines": {"begin": max(claim.line, 1)}},
        }
        for claim in claims
        if claim.failed
    ]
