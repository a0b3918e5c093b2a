"""Names of classes, as they compare: between images and a model, and between two models."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence


def plain_name(name: str) -> str:
    """Return a class name without case, underscores and further synonyms, its accents composed.

    File systems and archives of macOS spell an accented letter as a letter and an accent (NFD).
    """
    plain = re.sub(r"[\s_-]+", " ", name.partition(",")[0]).strip()
    return unicodedata.normalize("NFC", plain.casefold())


def moved_classes(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the index in ours and in theirs of each class that both name once, where the two differ."""
    plain, other = ([plain_name(name) for name in names] for names in (ours, theirs))
    counts, other_counts = Counter(plain), Counter(other)
    places = {name: index for index, name in enumerate(other) if other_counts[name] == 1}
    for index, name in enumerate(plain):
        if counts[name] == 1 and places.get(name, index) != index:
            yield index, places[name]
