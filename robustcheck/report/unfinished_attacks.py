"""Attacks that stopped while their loss was still rising on many images, by the column `rising` of the records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustcheck.notation import View

if TYPE_CHECKING:
    from robustcheck.records import Records

LEAST_SHARE = 0.05
"""Of the images; fewer are not worth a note."""
UNFINISHED = "attacks that stopped while their loss was still rising"
_MORE = 4


@dataclass(frozen=True)
class UnfinishedAttack:
    """An attack that had not succeeded on some images while its loss was still rising on them."""

    attack: str
    count: int
    n: int
    """Images that the attack was made on, and of which this is known."""
    advice: str

    def __str__(self) -> str:
        return f"{self.attack}: {self.count} of {self.n} images; {self.advice}"


def rising_count(records: Records, view: View) -> tuple[int, int] | None:
    """Return on how many images a view's attack was unfinished, and of how many; None where that is not known.

    Of a view with draws those images count of which half of the draws are.
    """
    values = records.columns[view]["rising"][records.seen(view)]
    known = values[~np.isnan(values)]
    return (int((known >= 0.5).sum()), len(known)) if len(known) and view.attack is not None else None


def unfinished_attacks(records: Records, views: Iterable[View]) -> tuple[UnfinishedAttack, ...]:
    """Return the attacks of some views that were unfinished on a share of the images worth a note, each once."""
    found: dict[View, UnfinishedAttack] = {}
    for view in sorted(views, key=lambda view: view.kind != "attack"):
        attack, counted = view.attack, rising_count(records, view)
        if attack is None or counted is None or attack in found or _is_covered(attack, view, records):
            continue
        count, known = counted
        if count >= LEAST_SHARE * known:
            found[attack] = UnfinishedAttack(str(attack), count, known, _advice(attack))
    return tuple(found.values())


def _is_covered(attack: View, view: View, records: Records) -> bool:
    """Whether other views of the records say the same of an attack: its own, or those of all that it selects from."""
    parts = attack.sources if attack.declared.kind == "selection" else (attack,)
    return view not in parts and all(part in records.columns for part in parts)


def _advice(attack: View) -> str:
    """Return what may do more; more steps of PGD alone are shorter ones, unless their size is given."""
    options = attack.options
    if attack.step == "PGD":
        return f"try APGD, or {'more steps' if options.step else 'a larger step'}"
    for name in ("steps", "queries"):
        if name in options:
            return f"try {name}={_MORE * options[name]}"
    return "try APGD, or more steps"
