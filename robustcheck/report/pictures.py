"""Pictures for the page: which images are worth showing, made again by the evaluation that is at hand.

Records hold no pixels. So pictures are made once, after the last test, for a few images, by the process that
evaluated them; a page that is made from saved records alone has none.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robustcheck.claims import changes_since
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, X
from robustcheck.report.panel import TOP, Panel, Picture, Prediction
from robustcheck.report.view_order import sort_key

if TYPE_CHECKING:
    from robustcheck.evaluation.runner import ImageSample
    from robustcheck.records import Records
    from robustcheck.records.baseline import Baseline
    from robustcheck.robustness import Robustness

MOST_IMAGES = 3
"""In each group."""
LARGEST_SIDE = 320
"""Pixels; larger images are shown smaller, so that the page stays one that can be sent."""
BY_NOISE = "Given back by noise just as well"
LOST = "Lost, and not given back"
NEWLY_LOST = "Newly lost since the baseline"
_MID, _SPAN = 128, 64


@dataclass(frozen=True)
class Choice:
    """Some images, why they are shown, and under which views."""

    group: str
    rows: tuple[int, ...]
    views: tuple[View, ...]


def panels_of(robustness: Robustness) -> tuple[Panel, ...]:
    """Return pictures of a few of the images that were evaluated; none where they can't be had any more."""
    records = robustness.records
    choices = list(choose(records, robustness.baseline))
    views = tuple(dict.fromkeys(view for choice in choices for view in choice.views))
    rows = tuple(dict.fromkeys(row for choice in choices for row in choice.rows))
    if not rows:
        return ()
    try:
        looks = {look.row: look for look in robustness.look(views, rows)}
    except (RobustcheckError, OSError):  # the images may be gone with a temporary folder
        return ()
    names = robustness.classifier.class_names or robustness.images.class_names or ()
    return tuple(
        _panel(choice, looks[row], records, names)
        for choice in choices
        for row in choice.rows
        if row in looks
    )


def _class_name(names: Sequence[str], index: int) -> str:
    return names[index] if 0 <= index < len(names) else f"class {index}"


def choose(records: Records, baseline: Baseline | None = None) -> Iterator[Choice]:
    """Yield images worth showing: newly lost, given back by a defence, and by noise just as well.

    They are of one attack, the first that was measured with a defence after it; those with the noise control go
    first. "Right" is by label, or without labels that the prediction is still the clean image's.
    """
    trio = _trio(records)
    if trio is None:
        yield from _of_attacked(records)
        return
    attack, defence, noise = trio
    right = {view: _right(records, view) for view in (X, attack, defence, *([noise] if noise else []))}
    views = (X, attack, defence)
    newly = _newly_lost(records, baseline, defence)
    left = records.columns[defence][
        "p_top"
    ]  # the least first of what is lost, the most first of what is given back
    if newly is not None:
        yield Choice(f"{NEWLY_LOST}: {defence}", _first(newly, left), views)
    lost = right[X] & ~right[attack]
    back = lost & right[defence]
    given_back = f"Given back by {defence.declared.title or defence.step}"
    if noise is not None:
        also = back & right[noise]
        yield Choice(
            f"{given_back} and not by noise of its size", _first(back & ~also, -left), (*views, noise)
        )
        yield Choice(BY_NOISE, _first(also, -left), (*views, noise))
    else:
        yield Choice(given_back, _first(back, -left), views)
    if newly is None:
        yield Choice(LOST, _first(lost & ~right[defence], left), views)


def _trio(records: Records) -> tuple[View, View, View | None] | None:
    """Return an attack, a defence of it and the noise control of that, where records have them."""
    there = {view for view in records.views if records.seen(view).any()}
    found = [
        (view.source, view, noise if (noise := _control(view)) in there else None)
        for view in there
        if view.kind == "defence" and view.source.kind == "attack" and view.source in there
    ]
    return min(found, key=lambda trio: (trio[2] is None, sort_key(trio[1])), default=None)


def _control(defence: View) -> View | None:
    """Return the view that puts noise of the defence's size in its place."""
    control = defence.declared.control
    return View(control, defence.amount, (), defence.sources) if control else None


def _of_attacked(records: Records) -> Iterator[Choice]:
    """Yield images that the first view made from an attack lost, with the steps on its way."""
    attacked = sorted((view for view in records.views if view.attack is not None), key=sort_key)
    for view in attacked[:1]:
        lost = _right(records, X) & records.seen(view) & ~_right(records, view)
        yield Choice(
            f"Lost under {view}",
            _first(lost, records.columns[view]["p_top"]),
            tuple(dict.fromkeys((X, *view.walk()))),
        )


def _right(records: Records, view: View) -> NDArray[np.bool_]:
    columns = records.columns[view]
    right = np.where(np.isnan(columns["correct"]), columns["kept"], columns["correct"])
    return np.asarray(right == 1)


def _newly_lost(records: Records, baseline: Baseline | None, view: View) -> NDArray[np.bool_] | None:
    if baseline is None:
        return None
    try:
        (change,) = [change for other, change in changes_since(baseline, records) if other == view]
    except (RobustcheckError, ValueError):
        return None
    mask = np.zeros(len(records), dtype=bool)
    mask[list(change.lost)] = True
    return mask


def _first(mask: NDArray[np.bool_], key: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the images of a mask that have least of a key."""
    rows = np.flatnonzero(mask)
    return tuple(rows[np.argsort(key[rows], kind="stable")][:MOST_IMAGES].tolist())


def _panel(choice: Choice, look: ImageSample, records: Records, names: Sequence[str]) -> Panel:
    label = int(records.labels[look.row])
    shown = [
        _picture(str(view), look.images[view], _predictions(look.probabilities[view], names), label)
        for view in choice.views
    ]
    attack = choice.views[1]
    change, factor = amplified(look.images[X], look.images[attack])
    shown.append(_picture(f"{attack} - x, times {factor}", change))
    name = _class_name(names, label) if label >= 0 else "no label"
    return Panel(choice.group, records.names[look.row], name, tuple(shown))


def _predictions(probabilities: NDArray[np.float64], names: Sequence[str]) -> tuple[Prediction, ...]:
    top = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
    return tuple(Prediction(_class_name(names, index), index, float(probabilities[index])) for index in top)


def amplified(clean: NDArray[np.uint8], changed: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Return the change between two images around mid-grey, uint8 (3, H, W), and what it was multiplied by."""
    change = changed.astype(np.int16) - clean
    factor = max(1, _SPAN // max(1, int(np.abs(change).max())))
    return np.clip(_MID + factor * change, 0, 255).astype(np.uint8), factor


def _picture(
    title: str, pixels: NDArray[np.uint8], top: tuple[Prediction, ...] = (), label: int = -1
) -> Picture:
    image = as_image(pixels)
    width, height = image.size
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, method=4)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    right = top[0].index == label if top and label >= 0 else None
    return Picture(title, data, width, height, top, right)


def as_image(pixels: NDArray[np.uint8]) -> Any:
    """Return pixels, uint8 (3, H, W), as Pillow's image."""
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
