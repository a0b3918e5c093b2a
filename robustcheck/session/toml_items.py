"""`robustcheck.toml` as pytest collects it: one test per claim.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.errors import ClaimFailed, RobustcheckError
from robustcheck.text import printable, shortened

if TYPE_CHECKING:
    from pathlib import Path

    from robustcheck.claims import ClaimFile, DeclaredClaim, Verdict
    from robustcheck.robustness import Robustness

NAME = "robustcheck.toml"
SUMMARY = 80 - len("ERROR  - ")
"""Columns of a line of the short summary for a test and what is wrong."""
_AT_LINE = re.compile(r"^(\d+): (?:claim '[^']*': )?")
_AT_COLUMN = re.compile(r" \(at line \d+, column \d+\)| \(at end of document\)")


def check_kind(path: Path) -> None:
    """Raise `RobustcheckError` where the file's name is there and no file is: its claims would be left out silently."""
    if os.path.lexists(path) and not path.is_file():
        kind = (
            "a directory"
            if path.is_dir()
            else "a link to nothing"
            if path.is_symlink()
            else "a device or a pipe"
        )
        raise RobustcheckError(f"{path} must be a file of claims, got {kind}: rename or remove it")


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

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any) -> Any:
        """Show what is wrong with the file, and begin the short summary's line with it."""
        if not isinstance(excinfo.value, self.CollectError):
            return super().repr_failure(excinfo, *args, **kwargs)
        text = str(excinfo.value)
        reason = text.removeprefix(printable(str(self.path))).lstrip(": ")
        reason = _AT_COLUMN.sub("", _AT_LINE.sub(r"line \1: ", reason))
        return _without_stack(excinfo, text, self.path, 1, shortened(reason, SUMMARY - len(self.nodeid)))

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
            return _without_stack(excinfo, str(error), self.path, self.declared.line)
        if isinstance(error, RobustcheckError):
            head = f"{self.nodeid.partition('::')[0]}:{self.declared.line}: {self.name}"
            return _without_stack(excinfo, f"{head}\n{error}", self.path, self.declared.line)
        return super().repr_failure(excinfo, *args, **kwargs)


def _without_stack(
    excinfo: pytest.ExceptionInfo[BaseException], text: str, path: Path, line: int, reason: str = ""
) -> Any:
    """Return what pytest shows of a failure: a text and no stack; the short summary has `reason`."""
    shown: Any = excinfo.getrepr(style="native")
    if shown.reprcrash is None:
        return text
    shown.reprcrash.path, shown.reprcrash.lineno = str(path), line
    shown.reprcrash.message = reason or text
    shown.reprtraceback.reprentries[:] = shown.reprtraceback.reprentries[:1]
    shown.reprtraceback.reprentries[0].lines = [f"{text}\n"]
    return shown
