"""Texts that a terminal obeys, that reorder what is around them, or that a CI system takes for its commands."""

from __future__ import annotations

import re
import unicodedata

TEXTS = {
    "escape sequence": "\x1b[31mred\x1b[0m",
    "C1 control": "\x9b31mred",
    "carriage return": "bad\rgood",
    "bidirectional": "a\u202egnp.b",
    "line separator": "a\u2028::error::pwn",
    "next line": "a\x85::error::pwn",
    "command": "::error file=a.py::pwn",
    "command after blanks": " \u3000::warning::pwn",
    "command on a new line": "a\n::set-output name=x::pwn",
    "old command": "a ##[error]pwn",
    "azure command": "##vso[task.complete result=Succeeded;]",
    "backspace": "bad\b\b\bgood",
    "title": "\x1b]0;pwn\x07",
    "tag characters": "a\U000e0041\U000e0042",
}
"""By what is wrong with each."""
IN_FILE_NAMES = {name: text.replace("/", "-") for name, text in TEXTS.items()}
LONE_SURROGATE = "a\udc80b"


def faults(text: str) -> list[str]:
    """Return the lines of a text that a terminal or a CI system would obey; it knows nothing of the package."""
    lines = re.split(r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", text)
    bad = [line for line in lines if not all(map(_is_harmless, line))]
    bad += [line for line in lines if line.lstrip().startswith("::") or re.search(r"##\w*\[", line)]
    return bad


def _is_harmless(char: str) -> bool:
    """Whether a character is a letter, a sign, a blank of any width, or what joins two emoji."""
    return char.isprintable() or unicodedata.category(char) == "Zs" or char in "\u200d\t"
