"""Which workers are asked for, and what each gets: the options, read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from robustcheck.errors import RobustcheckError, unknown

SYSTEM = "ray"


@dataclass(frozen=True)
class WorkerOptions:
    """What each worker gets."""

    count: int | None = None
    """How many there are; None: as many as the machines have room for."""
    cpus: int = 1
    """CPU cores of each, and threads."""
    gpus: float | None = None
    """GPUs of each; None: one where the classifier is on one, else none."""
    images: Literal["paths", "pixels"] | None = None
    """How images get there: as paths, which must lead to the same files there, or decoded here and sent; None: as paths
    where they come from files."""
    records: Literal["sent", "store"] = "sent"
    """How records come back: sent to this process, which alone writes to the record store, or written to the store by the
    worker, for which the store's folder has to be the same on all machines."""


def read_address(text: str) -> str | None:
    """Return the address of a cluster in `ray:ADDRESS`; None for `ray`, this machine.

    >>> read_address("ray"), read_address("ray:auto"), read_address("ray:ray://head:10001")
    (None, 'auto', 'ray://head:10001')

    Raises `RobustcheckError` for what is neither.
    """
    system, colon, address = text.partition(":")
    if system != SYSTEM:
        raise unknown("kind of workers", system, [SYSTEM])
    if colon and not address.strip("/"):
        raise RobustcheckError(
            "an address is missing behind the colon: ray:auto, ray:HOST:6379, ray:ray://HOST:10001"
        )
    return address or None


def read_worker_options(text: str) -> WorkerOptions:
    """Return what stands in `--robustcheck-worker-options`.

    >>> read_worker_options("cpus:2,gpus:0.5")
    WorkerOptions(count=None, cpus=2, gpus=0.5, images=None, records='sent')

    Raises `RobustcheckError` for a name or a value that is not allowed.
    """
    read: dict[str, Callable[[str, str], Any]] = {
        "count": _whole,
        "cpus": _whole,
        "gpus": _share,
        "images": _one_of("paths", "pixels"),
        "records": _one_of("sent", "store"),
    }
    values: dict[str, Any] = {}
    for word in text.split(","):
        name, _, value = word.strip().partition(":")
        if name not in read:
            raise unknown("worker option", name, read)
        values[name] = read[name](name, value.strip())
    return WorkerOptions(**values)


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 7 and int(text)):
        raise RobustcheckError(f"{name} is {text!r}; give a whole number from 1 up, such as {name}:2")
    return int(text)


def _share(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (number == 0 or 0 < number < 1 or (1 <= number < 1e6 and number.is_integer())):
        raise RobustcheckError(f"{name} is {text!r}; give 0, a share of one such as 0.5, or a whole number")
    return number


def _one_of(*ways: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        if text not in ways:
            raise unknown(name, text, ways)
        return text

    return read
