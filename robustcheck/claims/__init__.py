"""Claims about means of bounded measures, decided with a guaranteed error from as few images as it takes."""

from robustcheck.claims.claim import Claim
from robustcheck.claims.decider import Decider, Subject, enforce
from robustcheck.claims.estimate import Estimate, Ratio
from robustcheck.claims.expression import Term, mean, recovery
from robustcheck.claims.parser import ClaimError, parse_claim
from robustcheck.claims.policy import ClaimSettings, DecisionPolicy
from robustcheck.claims.regression import Change, changes_since
from robustcheck.claims.sequential import test_mean
from robustcheck.claims.toml_file import ClaimFile, DeclaredClaim, read_claims
from robustcheck.claims.verdict import Verdict

__all__ = [
    "Change",
    "Claim",
    "ClaimError",
    "ClaimFile",
    "ClaimSettings",
    "Decider",
    "DecisionPolicy",
    "DeclaredClaim",
    "Estimate",
    "Ratio",
    "Subject",
    "Term",
    "Verdict",
    "changes_since",
    "enforce",
    "mean",
    "parse_claim",
    "read_claims",
    "recovery",
    "test_mean",
]
