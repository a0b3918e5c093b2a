"""Batch normalisation folded into the convolution before it: the same function in fewer passes over memory.

In eval mode batch normalisation is a multiplication and an addition for each channel, which a convolution before it
can do with its own weights and bias. Logits change by rounding alone. Whether a folded network computes the same is
for the caller to find out: `robustcheck.models.equivalence`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights

_SAME_FORWARD = "Conv2dSame"  # timm's, which pads the image and then convolves as any other


def fold_batch_norms(
    module: nn.Module, run: Callable[[nn.Module], object], *, channels_last: bool
) -> nn.Module:
    """Return a network with its batch normalisations folded, or `module` itself where none can be.

    `run` runs a network on some images, once, to find which convolution's output goes straight into which batch
    normalisation. `module` is not changed; all layers but the folded ones, and those that hold them, are shared with
    it. With `channels_last` the new weights are in that layout.

    The folded network may be wrong: where a convolution's output is read elsewhere, too, where a layer's attributes are
    read, or where layers write to what holds them. Any exception may be raised for a network that can't be taken apart.
    """
    kinds = [_can_be_folded(layer) for layer in module.modules()]
    if not {"convolution", "norm"} <= set(kinds) or not all(map(_can_be_copied, module.modules())):
        return module
    replaced: dict[nn.Module, nn.Module] = {}
    for convolution, norm in _traced(module, run):
        replaced[convolution] = _folded(convolution, norm, channels_last=channels_last)
        replaced[norm] = _rest_of(norm)
    return _rebuilt(module, replaced)


def _can_be_folded(layer: nn.Module) -> str:
    """Return the role of a layer in folding: "convolution", "norm", or "" for none."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks)  # noqa: SLF001 - no public way
    if any(hooks) or hasattr(layer, "parametrizations"):
        return ""
    if isinstance(layer, nn.Conv2d) and layer.weight.dtype == torch.float32:
        as_usual = type(layer).forward is nn.Conv2d.forward or type(layer).__name__ == _SAME_FORWARD
        return "convolution" if as_usual else ""
    is_norm = type(layer) is nn.BatchNorm2d or _is_timms(layer)
    return "norm" if is_norm and not layer.training and layer.running_var is not None else ""


def _can_be_copied(layer: nn.Module) -> bool:
    """Whether what is set on a copy of a layer stays there: `torch.compile`'s wrapper sets it on the original."""
    kind = type(layer)
    return kind.__setattr__ is nn.Module.__setattr__ and (
        isinstance(layer, torch.fx.GraphModule) or not hasattr(kind, "__copy__")
    )


def _is_timms(layer: nn.Module) -> bool:
    """Whether a layer is timm's batch normalisation with an activation behind it."""
    return isinstance(layer, nn.BatchNorm2d) and type(layer).__name__ == "BatchNormAct2d"


def _traced(module: nn.Module, run: Callable[[nn.Module], object]) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Run a network, and return the convolutions that are each followed by a batch normalisation, both run once."""
    outputs: list[tuple[Tensor, int, nn.Conv2d]] = []  # kept, so that no other tensor takes an identity over
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    calls: Counter[nn.Module] = Counter()

    def after(layer: nn.Conv2d, _given: Any, output: Tensor) -> None:
        calls[layer] += 1
        outputs.append((output, output._version, layer))  # noqa: SLF001 - whether it was written to since

    def before(layer: nn.BatchNorm2d, given: tuple[Tensor, ...]) -> None:
        calls[layer] += 1
        pairs.extend(
            (convolution, layer)
            for output, version, convolution in outputs
            if given and output is given[0] and output._version == version  # noqa: SLF001
        )

    handles = []
    for layer in module.modules():
        kind = _can_be_folded(layer)
        if kind == "convolution":
            handles.append(layer.register_forward_hook(after))
        elif kind == "norm":
            handles.append(layer.register_forward_pre_hook(before))
    try:
        run(module)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if all(calls[layer] == 1 for layer in pair)]


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d, *, channels_last: bool) -> nn.Conv2d:
    """Return a convolution that does the work of both; the arithmetic is done in double precision."""
    assert norm.running_mean is not None and norm.running_var is not None  # noqa: S101, PT018 - see _can_be_folded
    own = (convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    doubles = [None if value is None else value.detach().double() for value in own]
    weight, bias, mean, variance, scale, shift = doubles
    merged = fuse_conv_bn_weights(weight, bias, mean, variance, norm.eps, scale, shift)  # type: ignore[arg-type]
    merged_layer: nn.Conv2d = _shallow_copy(convolution)
    for name, value in zip(("weight", "bias"), merged, strict=True):
        cast = value.detach().to(convolution.weight.dtype)
        if name == "weight" and channels_last:
            cast = cast.contiguous(memory_format=torch.channels_last)
        merged_layer._parameters[name] = nn.Parameter(cast, requires_grad=False)  # noqa: SLF001 - a bias may be new
    return merged_layer


def _rest_of(norm: nn.BatchNorm2d) -> nn.Module:
    """Return what is left of a batch normalisation once its arithmetic is in the convolution."""
    layers = [getattr(norm, name) for name in ("drop", "act")] if _is_timms(norm) else []
    return nn.Sequential(*layers)


def _rebuilt(module: nn.Module, replaced: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Return a network with some layers replaced; modules without any of them are shared."""
    if module in replaced:
        return replaced[module]
    own = {name: child for name, child in module._modules.items() if child is not None}  # noqa: SLF001 - see below
    children = {name: _rebuilt(child, replaced) for name, child in own.items()}
    if all(child is own[name] for name, child in children.items()):
        return module
    copied: nn.Module = _shallow_copy(module)
    copied._modules.update(children)  # noqa: SLF001 - named_children leaves out duplicate layers
    return copied


def _shallow_copy(module: Any) -> Any:
    """Return a shallow copy of a module that has dictionaries of its own."""
    copied = copy.copy(module)
    for name in ("_parameters", "_buffers", "_modules"):
        setattr(copied, name, dict(getattr(module, name)))
    return copied
