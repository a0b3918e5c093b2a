"""What a step says while it runs, as lines of JSON in a file, and what the file says to whoever reads it later."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FINISHED = ("ok", "failed", "error", "cut", "skipped")
"""How a step can have ended; before, it is "waiting" or "running"."""


class Skip(Exception):
    """What a step raises that can't be run here; the message is the reason."""


class Log:
    """Appends lines to a step's file. A row or check given again under its name replaces what it was."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def check(self, name: str, ok: bool, detail: str = "") -> None:
        self._write(check=name, ok=bool(ok), detail=detail)

    def row(self, table: str, label: str, **values: Any) -> None:
        """Add values to a row of a table; a name's underscores are blanks of the column's title."""
        plain = {name.replace("_", " "): _plain(value) for name, value in values.items()}
        self._write(table=table, row=label, values=plain)

    def note(self, text: str) -> None:
        self._write(note=text)

    def headline(self, text: str) -> None:
        """Set what the terminal's line says."""
        self._write(headline=text)

    def where(self, text: str) -> None:
        """Say on what, and at which size, it runs."""
        self._write(where=text)

    def end(self, status: str, reason: str) -> None:
        self._write(status=status, reason=reason)

    def _write(self, **entry: Any) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


def _plain(value: Any) -> Any:
    """Return a value that JSON has: a number that is not finite is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str) else str(value)


@dataclass
class Result:
    """A step as far as it is known."""

    key: str
    title: str
    status: str = "waiting"
    reason: str = ""
    seconds: float = 0.0
    where: str = ""
    headline: str = ""
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def is_bad(self) -> bool:
        """Whether the command is to fail for it; a step that ran out of time is not."""
        return self.status in {"failed", "error"}

    @property
    def has_failed_check(self) -> bool:
        return not all(check["ok"] for check in self.checks.values())

    def read(self, path: Path) -> str:
        """Take in what the step has written so far, and return how it says that it ended."""
        self.checks, self.tables, self.notes, status = {}, {}, [], ""
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
            except ValueError:  # the line that it was writing when it was killed
                continue
            if "check" in entry:
                self.checks[entry["check"]] = {"ok": entry["ok"], "detail": entry["detail"]}
            elif "table" in entry:
                self.tables.setdefault(entry["table"], {}).setdefault(entry["row"], {}).update(
                    entry["values"]
                )
            elif "note" in entry:
                self.notes.append(entry["note"])
            elif "headline" in entry:
                self.headline = entry["headline"]
            elif "where" in entry:
                self.where = entry["where"]
            elif "status" in entry:
                status, self.reason = entry["status"], entry["reason"]
        return status
