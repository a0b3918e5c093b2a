"""docs/options.md."""

from pathlib import Path

from robustcheck.__main__ import main
from robustcheck.options.table import OPTIONS

PAGE = Path(__file__).parents[2] / "docs" / "options.md"


def test_page_is_current(capsys):
    """If it is not: `python -m robustcheck options > docs/options.md`."""
    assert main(["options"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(encoding="utf-8")


def test_page_lists_every_option_once():
    text = PAGE.read_text(encoding="utf-8")
    for option in OPTIONS:
        assert len([line for line in text.splitlines() if line.startswith(f"| `{option.flag}")]) >= 1
        assert option.help.replace("|", "\\|") in text
