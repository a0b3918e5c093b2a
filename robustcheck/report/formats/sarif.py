"""Claims that failed as SARIF 2.1.0, which GitHub's code scanning and editors show at their lines.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import robustcheck
from robustcheck.atomic_io import atomic_write
from robustcheck.report.run import FinishedRun, ReportedClaim
from robustcheck.report.summary import Summary
from robustcheck.text import printable

NAME = "sarif"
_RULES = {
    "refuted": "A claim about robustness does not hold on these images.",
    "not shown": "A claim about robustness could not be shown to hold on these images.",
}


def write(_run: FinishedRun, summary: Summary, path: Path) -> list[Path]:
    """Write the claims that failed as SARIF."""
    atomic_write(path, json.dumps(document(summary.claims), indent=1) + "\n")
    return [path]


def document(claims: Iterable[ReportedClaim]) -> dict[str, Any]:
    """Return the claims that failed as one run of SARIF; a file outside the rootdir has no location."""
    rules = [{"id": rule_id(state), "shortDescription": {"text": text}} for state, text in _RULES.items()]
    driver = {"name": "robustcheck", "semanticVersion": robustcheck.__version__, "rules": rules}
    results = [_result(claim) for claim in claims if claim.failed]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def rule_id(state: str) -> str:
    """Return the identifier of a verdict: robustcheck/refuted."""
    return f"robustcheck/{state.replace(' ', '-')}"


def _result(claim: ReportedClaim) -> dict[str, Any]:
    text = "\n".join(printable(line) for line in (f"{claim.title}: {claim.numbers}", *claim.notes))
    region = {"startLine": max(claim.line, 1)}
    place = {"physicalLocation": {"artifactLocation": {"uri": quote(claim.file)}, "region": region}}
    return {
        "ruleId": rule_id(claim.state),
        "level": "error",
        "message": {"text": text},
        "partialFingerprints": {"claim/v1": f"{claim.id} {claim.model}"},
        **({"locations": [place]} if claim.file else {}),
    }
