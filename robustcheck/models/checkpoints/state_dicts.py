"""Finding the state dict of the network among all that a checkpoint holds."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models.checkpoints.pickle_data import Record
from robustcheck.models.checkpoints.stored_tensor import StoredTensor
from robustcheck.text import listed, printable

Tensors: TypeAlias = Mapping[str, torch.Tensor]

_USUAL = ("state_dict", "model_state_dict", "model", "model_state", "net", "network", "weights", "params")
_AVERAGED = re.compile(r"(?:^|[^a-zA-Z])(?:ema|EMA|swa|SWA|averaged)(?=$|[^a-z])")
_NO_WEIGHTS = re.compile(r"optim|sched|scaler|criterion|loss|metric|rng", re.IGNORECASE)
# These may hold an average.
_OF_TRAINING = re.compile(rf"{_NO_WEIGHTS.pattern}|callback|history", re.IGNORECASE)
_COUNTERS = ("n_averaged", "initted", "step")
_EXTRA = "_extra_state"
_DEEPEST = 100
_LONGEST_SHOWN = 80
SAVE = "torch.save(net.state_dict(), 'weights.pt')"


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, and what a state dict has beside them: the versions of its layers, and their extra state."""

    tensors: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def renamed(self, rename: Callable[[str], str | None]) -> StateDict:
        """Return it under other names, less those for which there is None.

        `rename` gets names that end in a dot, too: those of layers, whose versions go with them.
        """
        return StateDict(
            {new: value for key, value in self.tensors.items() if (new := rename(key)) is not None},
            {
                new.rstrip("."): value
                for key, value in self.metadata.items()
                if (new := rename(f"{key}.")) is not None
            },
            {new: value for key, value in self.extra.items() if (new := rename(key)) is not None},
        )

    def below(self, prefix: str) -> StateDict:
        """Return what is below a prefix, which ends in a dot."""
        return self.renamed(lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None)


@dataclass(frozen=True)
class Selection:
    """The state dict that is used, and a note for reports if there was a choice."""

    state: StateDict
    note: str = ""
    key: str = ""
    is_guess: bool = False


def select(loaded: Any, key: str | None, where: str) -> Selection:
    """Return the network's state dict in what a checkpoint holds.

    `key` is its key, with dots between keys of nested dictionaries; it may go on into the names of the tensors.
    Without it an average over the training (EMA) is preferred to the plain copy, then the usual names, then the only
    state dict; where several could be meant, the choice is a guess. RobustcheckError if that leaves several or none.
    """
    if not isinstance(loaded, (Mapping, list, tuple)):
        raise RobustcheckError(f"{where} must hold a state dict, got a {_kind(loaded)}: save one with {SAVE}")
    parts = dict(_parts(loaded))
    if key is not None:
        return Selection(_named(parts, key, where), f"{key!r} of {where}", key)
    averaged = [part for part in parts if is_averaged(part)]
    plain = {
        part: state for part, state in parts.items() if part not in averaged and not _OF_TRAINING.search(part)
    }
    if averaged:
        chosen, *left = [*averaged, *plain]
        note = f"the averaged copy {shown(chosen)!r} of {where}"
        others = listed((repr(shown(part)) for part in left), 6, " and ")
        return Selection(
            parts[chosen], f"{note}, not {others}" if left else note, chosen, is_guess=bool(left)
        )
    return _plain_one(plain, loaded, where)


def is_averaged(key: str) -> bool:
    """Whether a key says that the state dict below it is an average over the training (EMA, SWA)."""
    return bool(_AVERAGED.search(key)) and not _NO_WEIGHTS.search(key)


def shown(name: object) -> str:
    """Return a key of a file as part of an error's line: printable, and not longer than a line."""
    text = printable(str(name)[: _LONGEST_SHOWN + 1])
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _named(parts: Mapping[str, StateDict], key: str, where: str) -> StateDict:
    if key in parts:
        return parts[key]
    for part, state in parts.items():
        below = state.below(f"{key[len(part) :].lstrip('.')}.") if key.startswith(part) else None
        if below and below.tensors:
            return below
    raise unknown(f"state dict of {where}", key, [shown(part) or "(the top)" for part in parts] or ["none"])


def _plain_one(parts: Mapping[str, StateDict], loaded: Any, where: str) -> Selection:
    keys = list(parts)
    named = {key.rpartition(".")[2]: key for key in reversed(keys)}
    usual = next((named[name] for name in ("", *_USUAL) if name in named), None)
    if usual is not None:
        rivals = [key for key in keys if key != usual and _is_rival(parts[key], parts[usual])]
        note = (
            f"{shown(usual)!r} of {where}, not {listed((repr(shown(key)) for key in rivals), 6, ' and ')}"
            if rivals
            else ""
        )
        return Selection(parts[usual], note, usual, is_guess=bool(rivals))
    if len(keys) == 1:
        return Selection(parts[keys[0]], f"{shown(keys[0])!r} of {where}", keys[0])
    if keys:
        raise RobustcheckError(
            f"{where} holds {len(keys)} state dicts: {listed(map(shown, keys), 6)}; choose the network's with "
            f"--robustcheck-weights={where}#{shown(keys[0])}"
        )
    if not isinstance(loaded, Mapping):
        raise RobustcheckError(f"{where} must hold a state dict, got a {_kind(loaded)}: save one with {SAVE}")
    raise RobustcheckError(
        f"{where} holds no state dict: its keys are {listed(map(shown, loaded), 6) or 'none'}; a state dict has only names "
        f"and tensors, at the top or in the dictionaries below it. Save one: {SAVE}"
    )


def _is_rival(one: StateDict, usual: StateDict) -> bool:
    """Whether a state dict may be a network, too: a tenth of the other's tensors or more."""
    return len(one.tensors) * 10 >= len(usual.tensors)


def _kind(loaded: Any) -> str:
    return "Tensor" if isinstance(loaded, StoredTensor) else type(loaded).__name__


def _parts(loaded: Any) -> Iterator[tuple[str, StateDict]]:
    """Yield the key ("" is the top) and the tensors of every state dict, from the top down, each once."""
    waiting, seen = deque([("", loaded, 0)]), {id(loaded)}  # a pickle's dictionaries may contain each other
    while waiting:
        key, value, depth = waiting.popleft()
        if isinstance(value, Mapping) and _is_state_dict(value):
            state = _state_dict(value)
            yield from _copies(state, key) or [(key, state)]
        elif depth < _DEEPEST:
            for name, part in _containers(value):
                if id(part) not in seen:
                    seen.add(id(part))
                    waiting.append((f"{key}.{name}" if key else name, part, depth + 1))


def _containers(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the containers in one, by name. Numbers that are keys of a dictionary are an optimiser's."""
    if isinstance(value, Mapping):
        kinds: tuple[type, ...] = (Mapping, list, tuple)
        inner = ((name, part) for name, part in value.items() if isinstance(name, str))
    else:
        kinds, inner = (Mapping,), ((str(index), part) for index, part in enumerate(value))
    yield from ((name, part) for name, part in inner if isinstance(part, kinds))


def _is_state_dict(loaded: Mapping[Any, Any]) -> bool:
    return any(map(_is_tensor, loaded.values())) and all(
        isinstance(name, str) and (_is_tensor(value) or name.endswith(_EXTRA))
        for name, value in loaded.items()
    )


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (torch.Tensor, StoredTensor))


def _state_dict(loaded: Mapping[str, Any]) -> StateDict:
    tensors = {
        name: value for name, value in loaded.items() if _is_tensor(value) and not name.endswith(_EXTRA)
    }
    extra = {name: value for name, value in loaded.items() if name not in tensors}
    return StateDict(tensors, _metadata(loaded), extra)


def _metadata(loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions of layers that torch keeps in the attribute _metadata of a state dict."""
    state = loaded.state if isinstance(loaded, Record) else None
    found = state.get("_metadata") if isinstance(state, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    return {
        layer: {"version": facts["version"]}
        for layer, facts in found.items()
        if isinstance(layer, str) and isinstance(facts, Mapping) and type(facts.get("version")) is int
    }


def _copies(state: StateDict, prefix: str) -> list[tuple[str, StateDict]]:
    """Split a state dict that holds one network twice, for example under `ema_model.` and `model.`."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value in state.tensors.items():
        first, dot, rest = name.partition(".")
        if dot:
            groups.setdefault(first, {})[rest] = value.shape
        elif name not in _COUNTERS:
            return []
    shapes = list(groups.values())
    if len(groups) != 2 or shapes[0] != shapes[1] or not any(_AVERAGED.search(name) for name in groups):
        return []
    return [(f"{prefix}.{name}" if prefix else name, state.below(f"{name}.")) for name in groups]
