"""The table at the end: images per second and memory, which pytest-benchmark's own has no columns for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from robustcheck.benchmark.speedup import Speedup, in_units

_TIMES = f"{'per call':>9}  {'images/s':>10}  {'peak memory':>11}"
_RATIOS = f"{'ratio':>6}  {'95 % interval':^15}  {'ours':>8}  {'theirs':>8}"
_WIDTH = 80


@dataclass(frozen=True)
class Measurement:
    """A row of the table: what was measured in one test."""

    name: str
    device: str
    seconds: float
    """The median over the rounds, per call."""
    images: int | None = None
    """Images per call."""
    peak_memory: int | None = None
    """In bytes."""
    ratio: Speedup | None = None
    notes: Sequence[str] = ()
    fullname: str = ""
    """Shown instead of a name that another row has, too."""

    @property
    def images_per_second(self) -> float | None:
        """By the median."""
        return self.images / self.seconds if self.images is not None and self.seconds > 0 else None


def render(rows: Iterable[Measurement]) -> list[str]:
    """Return the lines of the table, by device: first what was timed alone, then interleaved rounds."""
    lines: list[str] = []
    by_device: dict[str, list[Measurement]] = {}
    rows = [*rows]
    names = Counter(row.name for row in rows)
    for row in (replace(row, name=row.fullname or row.name) if names[row.name] > 1 else row for row in rows):
        by_device.setdefault(row.device, []).append(row)
    for device, own in by_device.items():
        alone, interleaved = ([r for r in own if (r.ratio is None) == is_alone] for is_alone in (True, False))
        lines += [f"on {device}"]
        lines += _block("", _TIMES, ((row, _times(row)) for row in alone)) if alone else []
        lines += (
            _block("interleaved", _RATIOS, ((row, _ratio(row)) for row in interleaved)) if interleaved else []
        )
        lines += [""]
    return lines[:-1]


def _block(title: str, header: str, rows: Iterable[tuple[Measurement, str]]) -> Iterator[str]:
    width = _WIDTH - len(header) - 2
    yield f"{title:<{width}}  {header}"
    for row, columns in rows:
        name = row.name
        if len(name) > width:
            yield name
            name = ""
        yield f"{name:<{width}}  {columns}".rstrip()
        for note in row.notes:
            yield f"    {note}"


def _times(row: Measurement) -> str:
    speed = row.images_per_second
    images = "" if speed is None else f"{speed:,.{1 if speed < 100 else 0}f}"
    memory = "" if row.peak_memory is None else _in_bytes(row.peak_memory)
    return f"{in_units(row.seconds):>9}  {images:>10}  {memory:>11}"


def _in_bytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB" if count >= 10 * 2**20 else f"{count / 2**10:,.0f} KiB"


def _ratio(row: Measurement) -> str:
    ratio = row.ratio
    if ratio is None:
        return ""
    spread = f"{ratio.ratio_low:.3g} .. {ratio.ratio_high:.3g}"
    theirs = sorted(ratio.theirs)[len(ratio.theirs) // 2]
    return f"{ratio.ratio:>6.3g}  {spread:^15}  {in_units(row.seconds):>8}  {in_units(theirs):>8}"
