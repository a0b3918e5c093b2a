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
SAVE = "torch.save(net.state_dict(), 'weights.pt')"


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
            f"{where} must hold a state dict, got a {type(loaded).__name__}: save one with {SAVE}"
        )
    parts = dict(_parts(loaded))
    if key is not None:
        if key not in parts:
            raise unknown(f"state dict of {where}", key, [part or "(the top)" for part in parts] or ["none"])
        return Selection(parts[key], f"{key!r} of {where}")
    averaged = [part for part in parts if _AVERAGED.search(part.rpartition(".")[2].lower())]
    if averaged:
        chosen, *left = [*averaged, *(part for part in parts if part not in averaged)]
        note = f"the averaged copy {chosen!r} of {where}"
        others = " and ".join(map(repr, left))
        return Selection(parts[chosen], f"{note}, not {others}" if left else note, is_guess=bool(left))
    return _plain_one(parts, loaded, where)


def _plain_one(parts: Mapping[str, Tensors], loaded: Mapping[Any, Any], where: str) -> Selection:
    keys = list(parts)
    named = {key.rpartition(".")[2]: key for key in reversed(keys)}
    usual = next((named[name] for name in ("", *_USUAL) if name in named), None)
    if usual is not None:
        return Selection(parts[usual])
    if len(keys) == 1:
        return Selection(parts[keys[0]], f"{keys[0]!r} of {where}")
    if keys:
        raise RobustcheckError(
            f"{where} holds {len(keys)} state dicts: {listed(keys, 6)}; choose the network's with "
            f"--robustcheck-weights={where}#{keys[0]}"
        )
    raise RobustcheckError(
        f"{where} holds no state dict: its keys are {listed(map(str, loaded), 6) or 'none'}; a state dict has only names "
        f"and tensors, at the top or in the dictionaries below it. Save one: {SAVE}"
    )


def _parts(loaded: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensors]]:
    """Yield the key ("" is the top) and the tensors of every state dict, from the top down, except those of the optimiser and the like."""
    if _is_state_dict(loaded):
        tensors = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
        yield from _copies(tensors, prefix) or [(prefix, tensors)]
    elif depth < _DEEPEST:
        for name, value in loaded.items():
            if isinstance(name, str) and isinstance(value, Mapping) and not _OF_TRAINING.search(name):
                yield from _parts(value, f"{prefix}.{name}" if prefix else name, depth + 1)


def _is_state_dict(loaded: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, torch.Tensor) for value in loaded.values()) and all(
        isinstance(name, str) and (isinstance(value, torch.Tensor) or name.endswith("_extra_state"))
        for name, value in loaded.items()
    )


def _copies(tensors: Tensors, prefix: str) -> list[tuple[str, Tensors]]:
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
    return [(f"{prefix}.{name}" if prefix else name, group) for name, group in groups.items()]
