"""The output that README and docs/ show, made anew: `python -m tests.shown_output` writes it into the pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(
    r"(?:<!-- (test|output|not run): (.+?) -->\n|(<!-- test command -->)\n)?^```(\S*)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

# Each output: the test file's block that makes it (or none), and what comes after `pytest`.
OUTPUTS = {
    "failing claim": ("five lines", ["--robustcheck-model=sample"]),
    "adaptive claim": ("adaptive claim", ["--robustcheck-model=sample", "--robustcheck-require-adaptive"]),
    "study": (None, ["--robustcheck-model=sample", "--robustcheck-suite=jpeg-study"]),
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and what the comment before it says."""

    page: Path
    language: str
    text: str
    mark: tuple[str, str] | None


def pages() -> list[Path]:
    """README, then every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page from top to bottom."""
    found = []
    for kind, name, command, language, text in _BLOCK.findall(page.read_text()):
        mark = ("not run", "it is what runs these tests") if command else (kind, name) if kind else None
        found.append(Block(page, language, text, mark))
    return found


def produced(name: str, folder: Path, store: str = "off") -> str:
    """Return what a run prints, cut to what is shown."""
    file, arguments = OUTPUTS[name]
    if file:
        marks = {block.mark: block.text for page in pages() for block in blocks(page)}
        (folder / "test_robustness.py").write_text(marks["test", file])
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    command = [*pytest, f"--robustcheck-store={store}", *arguments]
    unset = {"PYTEST_ADDOPTS", "GITHUB_ACTIONS"}
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment |= {"COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return _cut(ran.stdout)


def _cut(output: str) -> str:
    if "findings of arXiv" in output:
        table = re.search(r"^view .*?(?=\n\n)", output, re.MULTILINE | re.DOTALL)[0]
        return (
            f"{table}\n\n"
            + re.search(r"^findings of arXiv.*?(?=\n\n|\nrecords:|\n=|\Z)", output, re.MULTILINE | re.DOTALL)[
                0
            ]
        )
    return re.search(r"^>  .*?(?=\n\n)", output, re.MULTILINE | re.DOTALL)[0]


if __name__ == "__main__":
    for each in OUTPUTS:
        for page in pages():
            head, mark, rest = page.read_text().partition(f"<!-- output: {each} -->\n```text\n")
            if mark:
                with tempfile.TemporaryDirectory() as folder:
                    page.write_text(
                        head + mark + produced(each, Path(folder)) + "\n" + rest[rest.index("```\n") :]
                    )
