"""The network that a user gives: what can be evaluated, where it is, in which numbers it computes, why it failed."""

from __future__ import annotations

import copy
import inspect
import traceback
from collections import Counter
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from robustcheck.errors import RobustcheckError
from robustcheck.models.device import resolve_device
from robustcheck.text import first_line

_TORCH = Path(torch.__file__).parent
_IMAGES = ("pixel_values", "images", "image", "x", "input", "inputs", "pixels", "img", "imgs")
"""What networks call the images that they take."""


class NetworkError(RobustcheckError, RuntimeError):
    """A network that raised an error of its own, the cause; a RuntimeError, too, as torch's own mostly are."""


def check_network(module: nn.Module, name: str) -> None:
    """Raise RobustcheckError, with what to do, for a network of a kind that can't be evaluated."""
    if kind := _program_kind(module):
        raise RobustcheckError(
            f"{name} must be a network in Python, got a program of {kind}: save it, and give "
            "robustcheck.Classifier(robustcheck.load_program(PATH), mean=..., std=..., input_size=...), or the spec "
            "program:PATH@NAME"
        )
    tensors = [*chain(module.parameters(), module.buffers())]
    if any(map(is_lazy, tensors)):
        lazy = sorted({type(layer).__name__ for layer in module.modules() if _has_lazy(layer)})
        raise RobustcheckError(
            f"{name} must have weights, got layers whose size is not known yet ({', '.join(lazy)}): run it once on a "
            "batch of its size, and then load its weights"
        )
    if any(tensor.is_meta for tensor in tensors):
        raise RobustcheckError(f"{name} must have weights, got tensors on the meta device: load them first")


def placed(module: nn.Module, device: str | torch.device, name: str) -> tuple[nn.Module, torch.device]:
    """Return a network on a device, and the device: the network itself if it is there, else a copy.

    "auto" is the accelerator that it is on, else CUDA where there is one. Raises RobustcheckError for a network that
    can't be copied.
    """
    own = {tensor.device for tensor in chain(module.parameters(), module.buffers())}
    accelerators = [place for place in own if place.type != "cpu"]
    if device == "auto" and accelerators:
        return module, min(accelerators, key=str)
    target = resolve_device(device)
    if own <= {target}:
        return module, target
    try:
        return copy.deepcopy(module).to(target), target
    except Exception as error:
        raise RobustcheckError(
            f"{name} is not on {target}, and no copy of it can be moved there ({type(error).__name__}: "
            f'{first_line(error)}): move it yourself, net.to("{target}"), before you make the classifier'
        ) from error


def weights_dtype(module: nn.Module) -> torch.dtype:
    """Return the dtype of most of a network's floating-point weights; float32 if it has none."""
    sizes: Counter[torch.dtype] = Counter()
    for parameter in chain(module.parameters(), module.buffers()):
        if parameter.is_floating_point():
            sizes[parameter.dtype] += parameter.numel()
    return sizes.most_common(1)[0][0] if sizes else torch.float32


def network_error(name: str, module: nn.Module, images: Tensor, error: Exception) -> NetworkError:
    """Return the error for a network that raised one: what it was given, where it failed, and what to do."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    shape = tuple(images.shape)
    return NetworkError(
        f"{name} failed on images {shape} of {images.dtype} on {images.device}{where}: "
        f"{type(error).__name__}: {first_line(error)}; {_advice(module, images, error)}"
    )


def one_logit_advice(name: str, access: str = "") -> str:
    """Return what to do with a network that returns one number for each image, to end an error.

    `access` is what stands behind what the network returns to get it, such as `[0]`.
    """
    return (
        f": if {name} is a binary network, and the number is the logit of class 1 (before any sigmoid), evaluate Wrapped(net)\n"
        + _wrapper(f"torch.nn.functional.pad(self.net(x){access}.reshape(-1, 1), (1, 0))")
    )


def checked_shape(name: str, output: Tensor, count: int, access: str) -> Tensor:
    """Return an output as a dense tensor; RobustcheckError unless it is floats of shape (N, classes).

    `access` is what stands behind what the network returns to get it, such as `[0]`.
    """
    dense = output if output.layout is torch.strided else output.to_dense()
    if dense.is_floating_point() and dense.ndim == 2 and len(dense) == count:
        return dense
    raise RobustcheckError(
        f"{name} must return float logits of shape ({count}, classes), got {dense.dtype} of shape {tuple(dense.shape)}"
        f"{_shape_advice(name, dense, count, access)}"
    )


def _shape_advice(name: str, output: Tensor, count: int, access: str) -> str:
    if not output.is_floating_point():
        return ": have its forward return the logits themselves, before any argmax or rounding"
    if output.shape == (count,):
        return one_logit_advice(name, access)
    if output.ndim == 4 and len(output) == count:
        way = "flatten(1)" if output.shape[2:].numel() == 1 else "mean((2, 3))"
        return f": evaluate Wrapped(net)\n{_wrapper(f'self.net(x){access}.{way}')}"
    return ": have its forward return one row of logits for each image, in their order, also for one image"


def _wrapper(returned: str) -> str:
    """Return the three lines of a module around a network, of which `returned` is what it returns."""
    return (
        "    class Wrapped(torch.nn.Module):\n"
        "        def __init__(self, net): super().__init__(); self.net = net\n"
        f"        def forward(self, x): return {returned}"
    )


def _advice(module: nn.Module, images: Tensor, error: Exception) -> str:
    """Return what to do about an error of a network on a batch (N, channels, H, W)."""
    required = _required_arguments(module) if isinstance(error, TypeError) else None
    if required is not None:
        call = ", ".join(required)
        return f"its forward must take the images as its one argument: evaluate Wrapped(net)\n{_wrapper(f'self.net({call})')}"
    wanted, given = _channels_wanted(module, images), images.shape[1]
    if wanted == 1 and given == 3:
        return (
            "it takes images of one channel, and gets RGB: declare that it takes grey, by one number in mean and std (its "
            "images stay RGB, and it gets their mean), as\n"
            "    robustcheck.Classifier(net, mean=(0.5,), std=(0.5,), input_size=...)\n"
            "with the numbers that it was trained on"
        )
    if wanted == 3 and given == 1:
        return "it takes images of three channels, and gets grey: give three numbers each in mean and std"
    return f"run it by itself on torch.zeros{tuple(images.shape)} to see where it fails"


def _required_arguments(module: nn.Module) -> list[str] | None:
    """Return the arguments with which a network's forward takes images, `x`; None where `forward(x)` is a call it takes."""
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind("images")
    except TypeError:
        kinds = inspect.Parameter
        parameters = [each for each in signature.parameters.values() if each.kind is not kinds.VAR_KEYWORD]
        required = [each for each in parameters if each.default is kinds.empty] or parameters
        images = next((each for each in required if each.name in _IMAGES), required[0]) if required else None
        values = {each: "x" if each is images else "..." for each in required}
        return [
            f"{each.name}={value}" if each.kind is kinds.KEYWORD_ONLY else value
            for each, value in values.items()
        ]
    return None


def _channels_wanted(module: nn.Module, images: Tensor) -> int | None:
    """Return how many channels the first layer with weights takes, where that can be told."""
    _, _, height, width = images.shape
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            return layer.in_channels
        if isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d):
            return layer.num_features
        if isinstance(layer, nn.Linear):
            return {height * width: 1, 3 * height * width: 3}.get(layer.in_features)
    return None


def _program_kind(module: nn.Module) -> str:
    """Return what wrote a program; "" for a network in Python."""
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript"
    is_exported = any(kind.__module__.startswith("torch.export") for kind in type(module).__mro__)
    return "torch.export" if is_exported and isinstance(module, torch.fx.GraphModule) else ""


def _has_lazy(layer: nn.Module) -> bool:
    return any(map(is_lazy, chain(layer.parameters(recurse=False), layer.buffers(recurse=False))))


def _is_users(filename: str) -> bool:
    path = Path(filename)
    return _TORCH not in path.parents and Path(__file__).parents[1] not in path.parents
