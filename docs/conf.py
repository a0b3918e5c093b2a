"""The site: `pip install -e '.[docs]'`, then `sphinx-build -W docs build/docs` (-W: a warning is an error)."""

from typing import Any

from robustcheck import __version__

project = "robustcheck"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["ci/*"]
myst_heading_anchors = 3
smartquotes = False  # they would join the dashes of options
default_role = "code"  # docstrings write `name`
html_theme = "furo"
html_title = "robustcheck"
html_show_sourcelink = False
html_show_copyright = False
autodoc_typehints = "description"
autodoc_member_order = "bysource"


def samples_are_code(*arguments: Any) -> None:
    """Mark what docstrings indent after an empty line as code: an example, not a quotation."""
    lines = arguments[-1]
    for number in range(len(lines) - 1, 0, -1):
        before = next((line for line in reversed(lines[:number]) if line), "")
        if lines[number].startswith("    ") and not lines[number - 1] and not before.startswith(" "):
            lines[number:number] = ["::", ""]


def setup(app: Any) -> None:
    """Run before napoleon, whose sections are indented too."""
    app.connect("autodoc-process-docstring", samples_are_code, priority=400)
