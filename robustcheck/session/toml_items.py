"""`robustcheck.toml` as pytest collects it: one test per claim.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.errors import ClaimFailed, RobustcheckError

if TYPE_CHECKING:
    from pathlib import Path

    from robustcheck.claims import ClaimFile, DeclaredClaim, Verdict
    from robustcheck.robustness import Robustness

NAME = "robustcheck.toml"


class ClaimModule(pytest.Module):
    """The file; a Module, so that it bounds the fixtures of that scope."""

    def collect(self) -> Iterator[ClaimItem]:
        """Yield a test for each claim of the file."""
        from robustcheck.claims import read_claims

        try:
            self.declared: ClaimFile = read_claims(self.path)
        except RobustcheckError as error:
            raise self.CollectError(str(error)) from None
        self._family: tuple[Robustness, dict[str, Verdict]] | None = None
        self.obj = SimpleNamespace(**{claim.name: self._test_of(claim) for claim in self.declared.claims})
        for claim in self.declared.claims:
            test = getattr(self.obj, claim.name)
            for made in self.ihook.pytest_pycollect_makeitem(collector=self, name=claim.name, obj=test):
                yield ClaimItem.of(made, claim)

    def istestfunction(self, obj: object, name: str) -> bool:  # noqa: ARG002 - the signature is pytest's
        """Take every claim for a test, whatever its name: pytest then parametrises it as its fixtures say."""
        return True

    def _test_of(self, declared: DeclaredClaim) -> Callable[[Robustness], None]:
        from robustcheck.claims import enforce

        def test(robustness: Robustness) -> None:
            head = f"{self.nodeid}:{declared.line}: {declared.name}"
            enforce(self._decided(declared, robustness), declared.settings, head)

        return test

    def _decided(self, declared: DeclaredClaim, robustness: Robustness) -> Verdict:
        if self.declared.family == "none":
            return robustness.decider.decide(declared.claim, declared.settings)
        if self._family is None or self._family[0] is not robustness:
            claims = [(claim.claim, claim.settings) for claim in self.declared.claims]
            verdicts = robustness.decider.decide_family(claims)
            names = (claim.name for claim in self.declared.claims)
            self._family = robustness, dict(zip(names, verdicts, strict=True))
        verdict = self._family[1][declared.name]
        robustness.decider.report(declared.claim, verdict)
        return verdict


class ClaimItem(pytest.Function):
    """One claim as a test, for one set of parameters of the fixtures that it uses."""

    def __init__(self, *args: Any, declared: DeclaredClaim, **kwargs: Any) -> None:
        self.declared = declared
        super().__init__(*args, **kwargs)

    @classmethod
    def of(cls, made: pytest.Function, declared: DeclaredClaim) -> ClaimItem:
        """Return the item for a function that pytest made of a claim's test."""
        item: ClaimItem = cls.from_parent(
            made.parent,
            name=made.name,
            callspec=getattr(made, "callspec", None),
            fixtureinfo=made._fixtureinfo,  # noqa: SLF001 - there is no public way
            originalname=made.originalname,
            declared=declared,
        )
        return item

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the claim's place in the file."""
        return self.path, self.declared.line - 1, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any) -> Any:
        """Show a failed claim, or a user's mistake, without any stack."""
        error = excinfo.value
        if isinstance(error, ClaimFailed):
            return self._shown(excinfo, str(error))
        if isinstance(error, RobustcheckError):
            head = f"{self.nodeid.partition('::')[0]}:{self.declared.line}: {self.name}"
            return self._shown(excinfo, f"{head}\n{error}")
        return super().repr_failure(excinfo, *args, **kwargs)

    def _shown(self, excinfo: pytest.ExceptionInfo[BaseException], text: str) -> Any:
        """Return what pytest shows of a failure: a text, and no stack."""
        shown: Any = excinfo.getrepr(style="native")
        if shown.reprcrash is None:
            return text
        shown.reprcrash.path, shown.reprcrash.lineno = str(self.path), self.declared.line
        shown.reprcrash.message = text
        shown.reprtraceback.reprentries[:] = shown.reprtraceback.reprentries[:1]
        shown.reprtraceback.reprentries[0].lines = [f"{text}\n"]
        return shown
