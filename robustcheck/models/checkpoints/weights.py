"""Weights of a checkpoint put into a network as its own loader would, or refused with the reason."""

from __future__ import annotations

import copy
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import nn

from robustcheck.errors import RobustcheckError
from robustcheck.limits import check
from robustcheck.models.built_network import BuiltNetwork
from robustcheck.models.checkpoints.checkpoint import Checkpoint
from robustcheck.models.checkpoints.state_dicts import StateDict, Tensors, is_averaged, shown
from robustcheck.text import first_line, listed
from robustcheck.user_code import warn

Renaming: TypeAlias = Callable[[Tensors, nn.Module], Tensors]

# Of a training module around the network (Lightning and others).
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "student.")
# Parts of names, wherever they stand: of torch.compile, FSDP, activation checkpointing; and of DataParallel.
_INNER_WRAPPERS = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_INNER_MODULE = re.compile(rf"{_INNER_WRAPPERS.pattern}|(?<![^.])module\.")
_MOST_COPIES = 20
_AVERAGING_COUNTER = "n_averaged"  # of torch.optim.swa_utils.AveragedModel
_BATCH_COUNTER = "num_batches_tracked"  # old checkpoints lack it, and evaluation does not use it


@dataclass(frozen=True)
class Differences:
    """The differences between the tensors of a checkpoint and those of a network."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]  # name -> (wanted, got)
    retyped: Mapping[str, str]  # name -> got, where conversion would lose values
    fitting: int

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped or self.retyped)


@dataclass(frozen=True)
class Fit:
    """A checkpoint's state dict under the names that fit a network best."""

    state: StateDict
    differences: Differences
    part: str = ""
    """The prefix of its names in the checkpoint, where others are left out."""
    rivals: tuple[str, ...] = ()
    """Other prefixes under which the network stands in the checkpoint."""


def build_with(
    build: Callable[[int | None], nn.Module],
    checkpoint: Checkpoint,
    *,
    name: str,
    renamings: tuple[Renaming, ...] = (),
) -> BuiltNetwork:
    """Return `build(None)` with the checkpoint's weights.

    If only the number of classes differs, it is `build(classes)` with the checkpoint's number. Each of
    `renamings` is tried on weights whose names do not fit as they are. RobustcheckError for other weights.
    """
    module = build(None)
    classes = _other_class_count(_best_fit(module, checkpoint, renamings).differences)
    if classes is not None:
        check("classes", classes, f"{checkpoint.path} has weights for")
        module = build(classes)
    load_weights(module, checkpoint, name=name, renamings=renamings)
    return BuiltNetwork(module, classes is None, checkpoint.note)


def load_weights(
    module: nn.Module, checkpoint: Checkpoint, *, name: str, renamings: tuple[Renaming, ...] = ()
) -> None:
    """Load the checkpoint's weights into a network, or raise RobustcheckError with what does not fit.

    The network's own load hooks run, with the versions and the extra state of its layers.
    """
    fit = _best_fit(module, checkpoint, renamings)
    if fit.differences:
        hooked = _fit_of_hooks(module, checkpoint)
        if hooked is None:
            raise _other_network(fit.differences, checkpoint, name)
        fit = hooked
    _report_choice(fit, checkpoint, name)
    try:
        left = module.load_state_dict(_for_torch(fit.state), strict=False)
    except Exception as error:  # a network's own load hooks may raise anything
        raise RobustcheckError(
            f"{checkpoint.path} can't be loaded into {name}: {type(error).__name__}: {first_line(error)}"
        ) from error
    missing = _excused(module, left.missing_keys, fit.state.tensors)
    if missing or left.unexpected_keys:
        differences = replace(fit.differences, missing=tuple(missing), unexpected=tuple(left.unexpected_keys))
        raise _other_network(differences, checkpoint, name)


def load_in_order(module: nn.Module, checkpoint: Checkpoint, *, name: str) -> None:
    """Load weights of the same network under other names: tensor by tensor, in order, by shape."""
    wanted = module.state_dict()
    shapes = [value.shape for value in wanted.values()]
    if shapes != [value.shape for value in checkpoint.tensors.values()]:
        raise RobustcheckError(f"{checkpoint.path} must hold the tensors of {name}, in order and by shape")
    module.load_state_dict(dict(zip(wanted, checkpoint.tensors.values(), strict=True)))


def _report_choice(fit: Fit, checkpoint: Checkpoint, name: str) -> None:
    """Say which part of a checkpoint is used, if several fit; RobustcheckError if none is an averaged copy."""
    if not fit.rivals:
        _report_unread_average(fit, checkpoint)
        return
    keys = [".".join(filter(None, (checkpoint.key, part.rstrip(".")))) for part in (fit.part, *fit.rivals)]
    keys = list(map(shown, keys))
    if not is_averaged(fit.part) or is_averaged(fit.rivals[0]):
        raise RobustcheckError(
            f"{checkpoint.path} holds {name} {len(keys)} times: under {listed(keys, 6)}; choose one with "
            f"--robustcheck-weights={checkpoint.path}#{keys[0]}"
        )
    warn(
        f"weights: the averaged copy {keys[0]!r} of {checkpoint.path}, not {listed(map(repr, keys[1:]), 6, ' and ')}; "
        f"{checkpoint.path}#KEY chooses another"
    )


def _report_unread_average(fit: Fit, checkpoint: Checkpoint) -> None:
    """Say that a checkpoint has an averaged copy beside the part that is used, under names that no network has."""
    if not fit.part or is_averaged(fit.part):
        return
    left = [
        name
        for name, tensor in checkpoint.tensors.items()
        if tensor.ndim and is_averaged(name) and not name.startswith(fit.part)
    ]
    if left:
        warn(
            f"weights: {checkpoint.path} holds an averaged copy (EMA) under names of another kind "
            f"({listed(map(shown, left), 2)}), and its plain weights are used: save the averaged ones with their names, "
            "torch.save(net.state_dict(), 'weights.pt')"
        )


def _for_torch(state: StateDict) -> dict[str, Any]:
    made: OrderedDict[str, Any] = OrderedDict({**state.tensors, **state.extra})
    made._metadata = OrderedDict(state.metadata)  # type: ignore[attr-defined] # noqa: SLF001 - where torch reads it
    return made if state.metadata else dict(made)


def _best_fit(module: nn.Module, checkpoint: Checkpoint, renamings: tuple[Renaming, ...]) -> Fit:
    best: Fit | None = None
    for state in _namings(module, checkpoint.state, renamings):
        fit = Fit(state, _differences(module, state))
        if not fit.differences:
            return fit
        if best is None or fit.differences.fitting > best.differences.fitting:
            best = fit
    assert best is not None  # noqa: S101 - the names as they are come first
    parts = list(_parts(module, checkpoint.state))
    whole = sorted((fit for fit in parts if not fit.differences), key=lambda fit: not is_averaged(fit.part))
    if whole:
        return replace(whole[0], rivals=tuple(fit.part for fit in whole[1:]))
    return max([best, *parts], key=lambda fit: fit.differences.fitting)


def _namings(module: nn.Module, state: StateDict, renamings: tuple[Renaming, ...]) -> Iterator[StateDict]:
    yield state
    for unwrapped in _unwrapped(state):
        inner = unwrapped
        yield inner
        while wrapper := next(
            (w for w in _WRAPPERS if all(key.startswith(w) for key in inner.tensors)), None
        ):
            inner = inner.below(wrapper)
            yield inner
        for renaming in renamings:
            yield replace(inner, tensors=renaming(inner.tensors, module))


def _unwrapped(state: StateDict) -> Iterator[StateDict]:
    """Yield a state dict without the counter of averaging, then without wrappers inside its names."""
    state = state.renamed(lambda key: None if key == _AVERAGING_COUNTER else key)
    yield state
    for wrapper in (_INNER_WRAPPERS, _INNER_MODULE):
        if any(map(wrapper.search, state.tensors)):
            yield state.renamed(lambda key, wrapper=wrapper: wrapper.sub("", key))  # type: ignore[misc]


def _parts(module: nn.Module, state: StateDict) -> Iterator[Fit]:
    """Yield the parts of a state dict that hold what the network wants, beside metrics and the like."""
    first = next((key for key, value in module.state_dict().items() if isinstance(value, torch.Tensor)), "")
    for plain in _unwrapped(state) if first else ():
        prefixes = [key.removesuffix(first) for key in plain.tensors if key.endswith(f".{first}")]
        for prefix in prefixes[:_MOST_COPIES]:
            part = plain.below(prefix)
            yield Fit(part, _differences(module, part), prefix)
        if prefixes:
            return


def _fit_of_hooks(module: nn.Module, checkpoint: Checkpoint) -> Fit | None:
    """Return the state dict that the network's own loader takes, if it has load hooks; tried on a copy of it."""
    if not any(map(_has_hooks, module.modules())):
        return None
    for state in _namings(module, checkpoint.state, ()):
        try:
            copy.deepcopy(module).load_state_dict(_for_torch(state))
        except Exception:  # noqa: BLE001, S112 - of hooks that expect other names, or of a network that can't be copied
            continue
        return Fit(state, replace(_differences(module, state), missing=(), unexpected=()))
    return None


def _has_hooks(layer: nn.Module) -> bool:
    own = type(layer)._load_from_state_dict  # noqa: SLF001 - torch's documented place to override
    return bool(layer._load_state_dict_pre_hooks) or not own.__module__.startswith("torch.nn.")  # noqa: SLF001


def _differences(module: nn.Module, state: StateDict) -> Differences:
    own, tensors = module.state_dict(), state.tensors
    wanted = {
        key: value for key, value in own.items() if isinstance(value, torch.Tensor) and key not in state.extra
    }
    shared = wanted.keys() & tensors.keys()
    reshaped = {
        key: (tuple(wanted[key].shape), tuple(tensors[key].shape))
        for key in wanted
        if key in shared and wanted[key].shape != tensors[key].shape
    }
    retyped = {
        key: f"quantised {tensors[key].dtype}" if tensors[key].is_quantized else str(tensors[key].dtype)
        for key in wanted
        if key in shared and not _fits(wanted[key], tensors[key])
    }
    got = {**tensors, **state.extra}
    return Differences(
        missing=tuple(_excused(module, (key for key in own if key not in got), tensors)),
        unexpected=tuple(key for key in got if key not in own),
        reshaped=reshaped,
        retyped=retyped,
        fitting=len(shared) - len(reshaped.keys() | retyped.keys()),
    )


def _excused(module: nn.Module, missing: Iterable[str], tensors: Tensors) -> list[str]:
    """Return the missing names without batch counters, and without those of tensors that came under another name."""
    left = [key for key in missing if not key.endswith(_BATCH_COUNTER)]
    if not left:
        return left
    own = {key: value for key, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    came = {_place(own[key]) for key in tensors if key in own and own[key].numel()}
    return [key for key in left if key not in own or _place(own[key]) not in came]


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Return what two tensors have in common if they are tied."""
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def _fits(wanted: torch.Tensor, got: torch.Tensor) -> bool:
    """Whether copying keeps the value: from floats to floats of any precision, and from integers to integers."""
    if got.is_quantized or got.layout != torch.strided or got.is_complex() != wanted.is_complex():
        return False
    return got.is_floating_point() == wanted.is_floating_point()


def _other_class_count(differences: Differences) -> int | None:
    """Return the checkpoint's number of classes, if that may be all that differs: same names, one other length."""
    if differences.missing or differences.unexpected or differences.retyped:
        return None
    leading = {(wanted[:1], got[:1]) for wanted, got in differences.reshaped.values()}
    classes = [got[0] for _, got in leading if got]
    return classes[0] if len(leading) == len(classes) == 1 else None


def _other_network(differences: Differences, checkpoint: Checkpoint, name: str) -> RobustcheckError:
    shapes = [
        f"{shown(key)} has shape {got}, not {wanted}" for key, (wanted, got) in differences.reshaped.items()
    ]
    types = [f"{shown(key)} is {dtype}, not floats: quantised?" for key, dtype in differences.retyped.items()]
    parts = [
        f"missing: {listed(map(shown, differences.missing), 3)}" if differences.missing else "",
        f"not in {name}: {listed(map(shown, differences.unexpected), 3)}" if differences.unexpected else "",
        listed(shapes, 3),
        listed(types, 3),
    ]
    return RobustcheckError(
        f"{checkpoint.path} holds the weights of another network than {name}: {differences.fitting} of its "
        f"{len(checkpoint.tensors)} tensors fit. "
        + "; ".join(filter(None, parts))
        + ". Name the network they belong to"
    )
