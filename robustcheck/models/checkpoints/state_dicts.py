"""Finding the state dict of the network among all that a checkpoint holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.text import listed

Tensors: TypeAlias = Mapping[str, torch.Tensor]

_USUAL = ("state_dict", "model_state_dict", "model", "model_state", "net", "network", "weights", "params")
_AVERAGED = re.compile(r"(^|_)(ema|swa|averaged)($|_)")
_OF_TRAINING = re.compile(r"optim|sched|scaler|criterion|loss|callback|history|metric|rng", re.IGNORECASE)
_COUNTERS = ("n_averaged", "initted", "step")
_DEEPEST = 4
_SAVE = "torch.save(net.state_dict(), 'weights.pt')"


@dataclass(frozen=True)
class StateDict:
    """One state dict in a checkpoint: its key ("" is the top), and its tensors."""

    key: str
    tensors: Tensors

    @property
    def is_averaged(self) -> bool:
        """Whether its name says that it is an average over the training (EMA, SWA)."""
        return bool(_AVERAGED.search(self.key.rpartition(".")[2].lower()))


@dataclass(frozen=True)
class Selection:
    """The tensors that are used, and a note for reports if there was a choice."""

    tensors: Tensors
    note: str = ""
    is_guess: bool = False


def select(loaded: Any, key: str | None, where: str) -> Selection:
    """Return the network's tensors in what a checkpoint holds.

    `key` is their key, with dots between keys of nested dictionaries. Without it an average over the training
    (EMA) is preferred to the plain copy, then the usual names, then the only state dict. RobustcheckError if
    that leaves several or none.
    """
    if not isinstance(loaded, Mapping):
        raise RobustcheckError(
            f"{where} must hold a state dict, got a {type(loaded).__name__}: save one with {_SAVE}"
        )
    parts = {part.key: part for part in _parts(loaded)}
    if key is not None:
        if key not in parts:
            raise unknown(f"state dict of {where}", key, [part or "(the top)" for part in parts] or ["none"])
        return Selection(parts[key].tensors, f"{key!r} of {where}")
    averaged = [part for part in parts.values() if part.is_averaged]
    plain = [part for part in parts.values() if not part.is_averaged]
    if averaged:
        chosen, left = averaged[0], [*averaged[1:], *plain]
        note = f"the averaged copy {chosen.key!r} of {where}"
        others = " and ".join(repr(part.key) for part in left)
        return Selection(chosen.tensors, f"{note}, not {others}" if left else note, is_guess=bool(left))
    return Selection(*_plain_one(plain, loaded, where))


def _plain_one(parts: list[StateDict], loaded: Mapping[Any, Any], where: str) -> tuple[Tensors, str]:
    named = {part.key.rpartition(".")[2]: part for part in reversed(parts)}
    usual = next((named[name] for name in ("", *_USUAL) if name in named), None)
    chosen = usual or (parts[0] if len(parts) == 1 else None)
    if chosen is not None:
        return chosen.tensors, "" if chosen is usual else f"{chosen.key!r} of {where}"
    if parts:
        raise RobustcheckError(
            f"{where} holds {len(parts)} state dicts: {listed((part.key for part in parts), 6)}; choose the network's with "
            f"--robustcheck-weights={where}#{parts[0].key}"
        )
    raise RobustcheckError(
        f"{where} holds no state dict: its keys are {listed(map(str, loaded), 6) or 'none'}; a state dict has only names "
        f"and tensors, at the top or in the dictionaries below it. Save one: {_SAVE}"
    )


def _parts(loaded: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[StateDict]:
    """Yield every state dict, from the top down, except those of the optimiser and the like."""
    if _is_state_dict(loaded):
        tensors = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
        yield from _copies(tensors, prefix) or [StateDict(prefix, tensors)]
    elif depth < _DEEPEST:
        for name, value in loaded.items():
            if isinstance(name, str) and isinstance(value, Mapping) and not _OF_TRAINING.search(name):
                yield from _parts(value, f"{prefix}.{name}" if prefix else name, depth + 1)


def _is_state_dict(loaded: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, torch.Tensor) for value in loaded.values()) and all(
        isinstance(name, str) and (isinstance(value, torch.Tensor) or name.endswith("_extra_state"))
        for name, value in loaded.items()
    )


def _copies(tensors: Tensors, prefix: str) -> list[StateDict]:
    """Split a state dict that holds one network twice, for example under `ema_model.` and `model.`."""
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        first, dot, rest = name.partition(".")
        if dot:
            groups.setdefault(first, {})[rest] = value
        elif name not in _COUNTERS:
            return []
    shapes = [{name: value.shape for name, value in group.items()} for group in groups.values()]
    if len(groups) != 2 or shapes[0] != shapes[1] or not any(_AVERAGED.search(name) for name in groups):
        return []
    return [StateDict(f"{prefix}.{name}" if prefix else name, group) for name, group in groups.items()]
