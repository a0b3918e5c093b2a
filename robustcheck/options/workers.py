"""The options of Ray workers: where they run, and what each of them gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.options.types import integer, one_of, quoted

SYSTEM = "ray"


@dataclass(frozen=True)
class WorkerOptions:
    """What each worker gets."""

    count: int | None = None
    """Number of workers; None: as many as the machines have room for."""
    cpus: int = 1
    """CPU cores of each, and threads."""
    gpus: float | None = None
    """GPUs of each; None: one where the classifier is on one, else none."""
    images: Literal["paths", "pixels"] | None = None
    """How workers get images: as paths, which must lead to the same files on every machine, or decoded by this process
    and sent; None: as paths where images come from files."""
    records: Literal["sent", "store"] = "sent"
    """How records come back: sent to this process, which alone writes to the record store, or written to the store by
    the worker, which needs the same store folder on every machine."""


def parse_address(text: str) -> str | None:
    """Return the address of a cluster in `ray:ADDRESS`; None for `ray`, this machine.

    >>> parse_address("ray"), parse_address("ray:auto"), parse_address("ray:ray://head:10001")
    (None, 'auto', 'ray://head:10001')

    Raises `RobustcheckError` for any other text.
    """
    system, colon, address = text.partition(":")
    if system != SYSTEM:
        raise unknown("kind of workers", system, [SYSTEM])
    if colon and not address.strip("/"):
        raise RobustcheckError(
            f"must name an address after the colon, got {text!r}: write ray:auto, ray:HOST:6379 or ray:ray://HOST:10001"
        )
    return address or None


def ray_address(text: str) -> str:
    """Return the text of `--robustcheck-workers`, checked."""
    parse_address(text)
    return text


def parse_worker_options(text: str) -> WorkerOptions:
    """Return what `--robustcheck-worker-options` says.

    >>> parse_worker_options("cpus:2,gpus:0.5")
    WorkerOptions(count=None, cpus=2, gpus=0.5, images=None, records='sent')

    Raises `RobustcheckError` for a name or a value that is not allowed.
    """
    types: dict[str, Callable[[str], Any]] = {
        "count": integer(1),
        "cpus": integer(1),
        "gpus": _gpus,
        "images": one_of("paths", "pixels"),
        "records": one_of("sent", "store"),
    }
    values: dict[str, Any] = {}
    for word in text.split(","):
        name, _, value = word.strip().partition(":")
        if name not in types:
            raise unknown("worker option", name, types)
        try:
            values[name] = types[name](value.strip())
        except ValueError as error:
            raise RobustcheckError(f"{name}: {error}") from None
    return WorkerOptions(**values)


def _gpus(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (number == 0 or 0 < number < 1 or (1 <= number < 1e6 and number.is_integer())):
        raise ValueError(f"must be 0, a fraction such as 0.5, or an integer, got {quoted(text)}")
    return number
