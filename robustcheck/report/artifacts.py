"""What a failing claim leaves behind: its images, losslessly, their records, and a line that reproduces it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from robustcheck.claims import Subject, Verdict
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, X
from robustcheck.records import Records
from robustcheck.records.csv import save
from robustcheck.report.evidence import rows_against
from robustcheck.report.pictures import as_image
from robustcheck.robustness import Robustness
from robustcheck.text import printable, short_path

MOST_IMAGES = 8


def write_evidence(
    folder: Path, subject: Subject, verdict: Verdict, robustness: Robustness, *, nodeid: str, command: str
) -> str:
    """Write the evidence of a claim that did not hold into a folder of its own, and return a line that says where.

    `README.txt` has the claim, what was found and the command that reproduces it; `records.csv` the records of
    the images that count most against it; and for each of these a folder has a PNG for each view.
    """
    own = folder / _name_of(nodeid, verdict)
    own.mkdir(parents=True, exist_ok=True)
    rows = rows_against(subject, robustness)[:MOST_IMAGES]
    claimed = (subject,) if isinstance(subject, View) else subject.views
    views = tuple(dict.fromkeys(part for view in (X, *claimed) for part in view.walk()))
    if rows:
        save(_some(robustness.records, rows), own / "records.csv")
    pictures = _pictures(own, views, rows, robustness)
    lines = [printable(nodeid), *map(printable, verdict.explain()), "", pictures, ""]
    lines += ["To reproduce, from the rootdir:", printable(command), ""]
    (own / "README.txt").write_text("\n".join(lines), encoding="utf-8")
    return f"evidence in {short_path(own)} ({len(rows)} images)"


def _name_of(nodeid: str, verdict: Verdict) -> str:
    """Return a folder's name that every file system takes, and that no other claim has."""
    return f"{_slug(nodeid)[-60:].strip('-.')}-{_digest(f'{nodeid} {verdict.claim}')}"


def _short(text: str) -> str:
    """Return a text as a file's name, of a long one its beginning and a digest."""
    slug = _slug(text)
    return slug if len(slug) <= 80 else f"{slug[:70].strip('-.')}-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")


def _some(records: Records, rows: Sequence[int]) -> Records:
    at = np.array(rows)
    columns = {view: rows[at] for view, rows in records.columns.items()}
    ids, names = (tuple(texts[row] for row in rows) for texts in (records.ids, records.names))
    labels, drawn = records.labels[at], records.order[at]
    return replace(records, ids=ids, names=names, labels=labels, columns=columns, drawn=drawn)


def _pictures(own: Path, views: Sequence[View], rows: Sequence[int], robustness: Robustness) -> str:
    """Write a PNG for each image and view, and return the list of what is where, in lines."""
    lines = []
    try:
        for number, look in enumerate(robustness.look(views, rows), 1):
            name = robustness.images.names[look.row]
            place = own / f"{number}-{_slug(Path(name).stem)[:40]}"
            place.mkdir(exist_ok=True)
            for view in views:
                as_image(look.images[view]).save(place / f"{_short(str(view))}.png")
            lines.append(f"{place.name}: {json.dumps(printable(name), ensure_ascii=False)}")
    except (RobustcheckError, OSError) as error:
        lines.append(f"no pictures: {error}")
    return "\n".join(lines) or "No image counts against it."
