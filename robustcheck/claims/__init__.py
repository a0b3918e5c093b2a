"""Claims about means of bounded measures, decided with a guaranteed error from as few images as it takes."""

from robustcheck.claims.claim import Claim, compare
from robustcheck.claims.comparable import Measured, Source
from robustcheck.claims.decider import Decider, Subject, decide_early, decide_exact, enforce
from robustcheck.claims.estimate import Estimate, bind, estimate_of, recovery_of
from robustcheck.claims.expression import Linear, Quotient, Term, mean, recovery
from robustcheck.claims.holm import family_alpha, holm
from robustcheck.claims.intervals import Interval, clopper_pearson, sign_test, t_interval
from robustcheck.claims.paired import Change, change, no_regression, no_regression_early
from robustcheck.claims.parser import ClaimError, parse_claim, parse_expression
from robustcheck.claims.policy import ClaimSettings, DecisionPolicy
from robustcheck.claims.ratio import Ratio
from robustcheck.claims.sequential import MeanTest, test_mean
from robustcheck.claims.test_spec import Rules
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
    "Interval",
    "Linear",
    "MeanTest",
    "Measured",
    "Quotient",
    "Ratio",
    "Rules",
    "Source",
    "Subject",
    "Term",
    "Verdict",
    "bind",
    "change",
    "clopper_pearson",
    "compare",
    "decide_early",
    "decide_exact",
    "enforce",
    "estimate_of",
    "family_alpha",
    "holm",
    "mean",
    "no_regression",
    "no_regression_early",
    "parse_claim",
    "parse_expression",
    "read_claims",
    "recovery",
    "recovery_of",
    "sign_test",
    "t_interval",
    "test_mean",
]
