"""The order in which reports show views: clean images, attacks, defences, noise; numbers by size."""

from __future__ import annotations

import re

from robustcheck.notation import View

_KINDS = ("clean", "attack", "defence", "noise")


def sort_key(view: View) -> tuple[object, ...]:
    """Return what to sort views by."""
    parts = re.split(r"(\d+)", str(view))
    kind = _KINDS.index(view.kind) if view.kind in _KINDS else len(_KINDS)
    return kind, [(len(part.lstrip("0")), part) if part.isdigit() else part for part in parts]
