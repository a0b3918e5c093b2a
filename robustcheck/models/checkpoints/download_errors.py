"""Errors of downloads: which of them come from the network, and what to do then."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from robustcheck.errors import RobustcheckError
from robustcheck.text import first_line

_CONNECT_SECONDS = 20.0
_CLIENTS = frozenset({"huggingface_hub", "httpcore", "httpcore2", "httpx", "httpx2", "requests", "urllib3"})


@contextmanager
def weights_from(hub: str, *, name: str, file: str) -> Iterator[None]:
    """Turn a failure to reach `hub` into an error that names the file to get and how to pass it.

    Sets a timeout for servers that do not answer; other errors pass.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECT_SECONDS if before is None else before)
    try:
        yield
    except Exception as error:
        reason = unreachable(error)
        if reason is None:
            raise
        raise RobustcheckError(
            f"the weights of {name} could not be fetched from {hub} ({reason}). On a machine with "
            f"access to it, download {file}; then pass the file here: --robustcheck-weights=PATH"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def unreachable(error: BaseException) -> str | None:
    """Return the reason if an error comes from the network, else None."""
    # The hubs' clients are named, not imported: which of them is installed depends on versions.
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if not isinstance(error, (OSError, HTTPException)) and _CLIENTS.isdisjoint(packages):
        return None
    while error.__cause__ is not None:  # a client's message is long, the socket's is short
        error = error.__cause__
    return first_line(str(error) or type(error).__name__).strip("<>")
