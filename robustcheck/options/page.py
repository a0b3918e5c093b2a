"""The page of options in Markdown, docs/options.md, made from the table."""

from __future__ import annotations

from robustcheck.options.option import Option
from robustcheck.options.table import OPTIONS

_HEAD = """\
# Options

Each option is also an ini key, with underscores: `robustcheck_images = "data/val"` under `[tool.pytest.ini_options]`.
Relative paths on the command line start at the working directory, those in the ini file at its folder. The command line
goes before the ini file. An option whose place a fixture of the repository takes is an error.

"Results: yes" marks the options that affect numbers or verdicts: these, as they were typed, stand in the command that
`--robustcheck-artifacts` writes for a claim that fails.

| option | what it does | default | results |
|---|---|---|---|
"""
_FOOT = """
This page is the output of `python -m robustcheck options`.
"""


def render() -> str:
    """Return the page."""
    return _HEAD + "".join(f"| {' | '.join(_cells(row))} |\n" for row in OPTIONS) + _FOOT


def _cells(row: Option) -> tuple[str, str, str, str]:
    written = row.flag if row.metavar is None else f"{row.flag}={row.metavar}"
    typed = row.default or ("off" if row.metavar is None else None)
    default = f"`{typed}`" if typed else row.shown_default or ""
    return _escaped(f"`{written}`"), _escaped(row.help), default, "yes" if row.affects_results else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
