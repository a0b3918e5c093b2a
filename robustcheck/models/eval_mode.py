"""A network in eval mode for the time of an evaluation, and afterwards as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import torch
from torch import nn

from robustcheck.text import listed
from robustcheck.user_code import warn

# Libraries have their own classes of the kind that acts differently in training: timm's DropPath, BatchNormAct2d,
# torchvision's StochasticDepth.
_TRAINING_MATTERS = ("BatchNorm", "InstanceNorm", "Drop", "StochasticDepth", "RReLU")


class EvalMode:
    """A context in which a network is in eval mode and its parameters require no gradient; it may be nested.

    On entry it calls the network's own `eval()`, with a RobustnessWarning if a layer was in train mode that acts
    differently there. At the end each layer has the mode, and each parameter the `requires_grad`, that it had.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self._module, self._name = module, name
        self._depth = 0
        self._modes: list[tuple[nn.Module, bool]] = []
        self._trained: list[nn.Parameter] = []

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        try:
            self._trained = [
                each for each in self._module.parameters() if each.requires_grad and not each.is_inference()
            ]
            for parameter in self._trained:
                parameter.requires_grad = False
            if any(layer.training for layer in self._module.modules()):
                self._leave_train_mode()
        except BaseException:  # the warning may be an error
            self._leave()
            raise

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave_train_mode(self) -> None:
        self._modes = [(layer, layer.training) for layer in self._module.modules()]
        before = layers_in_train_mode(self._module)
        self._module.eval()  # which may leave layers in train mode on purpose
        left = layers_in_train_mode(self._module)
        if changed := [kind for kind in before if kind not in left]:
            warn(
                f"{self._name} is in train mode, which changes {listed(changed, 4)}: it is evaluated in eval mode, and "
                "then put back. Call .eval() on it first to avoid this warning"
            )

    def _leave(self) -> None:
        self._depth -= 1
        if self._depth:
            return
        for parameter in self._trained:
            parameter.requires_grad = True
        modes, self._modes, self._trained = self._modes, [], []
        for layer, was_training in modes:  # the outer ones first: their train() sets that of those inside
            if layer.training != was_training:
                layer.train(was_training)
        for layer, was_training in modes:
            if layer.training != was_training:
                layer.training = was_training

    def __reduce__(self) -> tuple[type[EvalMode], tuple[nn.Module, str]]:
        return EvalMode, (self._module, self._name)


@contextmanager
def buffers_restored(module: nn.Module) -> Iterator[None]:
    """Give a network's buffers the values back at the end that they had, also those that its own forward pass writes."""
    before = [
        (layer, name, buffer, buffer.detach().clone())
        for layer in module.modules()
        for name, buffer in layer._buffers.items()  # noqa: SLF001 - named_buffers leaves out which layer holds one
        if buffer is not None and buffer.layout is torch.strided and not buffer.is_meta
    ]
    try:
        yield
    finally:
        for layer, name, buffer, value in before:
            layer._buffers[name] = _restored(buffer, value)  # noqa: SLF001 - a buffer that was assigned to, too


def _restored(buffer: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    if buffer.shape != value.shape:
        return value
    if not torch.equal(buffer, value):
        with torch.inference_mode(mode=buffer.is_inference()), torch.no_grad():
            buffer.copy_(value)
    return buffer


def layers_in_train_mode(module: nn.Module) -> list[str]:
    """Return the kinds of a network's layers that are in train mode and act differently there."""
    kinds = {type(layer).__name__ for layer in module.modules() if layer.training}
    return sorted(kind for kind in kinds if any(word in kind for word in _TRAINING_MATTERS))
