"""A classifier as the evaluation sees it: pixels in, logits out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import nn

from robustcheck.errors import RobustcheckError, RobustnessWarning
from robustcheck.models.batchnorm_fold import fold_batch_norms
from robustcheck.models.code_digest import digest_of_module
from robustcheck.models.device import resolve_device
from robustcheck.models.fingerprint import fingerprint
from robustcheck.models.logits import described, logits_in, type_name
from robustcheck.models.preprocessing import Preprocessing, Size
from robustcheck.text import listed

# Libraries have their own classes of the kind that acts differently in training: timm's DropPath, BatchNormAct2d,
# torchvision's StochasticDepth.
_TRAINING_MATTERS = ("BatchNorm", "InstanceNorm", "Drop", "StochasticDepth", "RReLU")


class Classifier:
    """A network with the normalisation of its pixels.

    `mean` and `std` are those of pixels in 0..1, three numbers each; `input_size` is an integer or
    (height, width). `resize` and `interpolation` bring a photograph to that size (default: shorter side to
    input_size / 0.875, bicubic, then a centre crop).

        Classifier(net, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), input_size=224)

    The network itself is changed: it moves to `device`, goes into eval mode (with a RobustnessWarning if it
    was in train mode and that makes a difference), and its parameters no longer require gradients, since an
    attack needs only that of the pixels. `module` returns logits (N, classes), or a tuple, dictionary or
    dataclass that holds them. `origin` is what a report adds about where the weights came from.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        input_size: Size,
        resize: Size | None = None,
        interpolation: str = "bicubic",
        antialias: bool = True,
        name: str | None = None,
        device: str | torch.device = "auto",
        class_names: Sequence[str] | None = None,
        origin: str = "",
    ) -> None:
        if not isinstance(module, nn.Module):
            raise RobustcheckError(f"module must be a torch.nn.Module, got {type_name(module)}")
        self.preprocessing = Preprocessing.for_size(
            input_size, resize=resize, interpolation=interpolation, antialias=antialias, mean=mean, std=std
        )
        self.name = name or type(module).__name__
        self.class_names = None if class_names is None else tuple(class_names)
        self.class_count: int | None = None
        self.origin = origin
        self.device = resolve_device(device)
        if matter := layers_in_train_mode(module):
            warnings.warn(
                f"{self.name} was in train mode, which changes {listed(matter, 4)}; it was put in eval mode. "
                "Call .eval() on it first to avoid this warning",
                RobustnessWarning,
                stacklevel=2,
            )
        self.module = module.eval().requires_grad_(requires_grad=False)
        self.module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: Callable[[torch.Tensor], Any] = self.module
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32, device=self.device).view(3, 1, 1)
            for values in (self.preprocessing.mean, self.preprocessing.std)
        )

    @classmethod
    def from_preprocessing(
        cls,
        module: nn.Module,
        preprocessing: Preprocessing,
        *,
        name: str | None = None,
        device: str | torch.device = "auto",
        class_names: Sequence[str] | None = None,
        origin: str = "",
    ) -> Classifier:
        """Return a classifier with a given `Preprocessing`."""
        return cls(
            module,
            **vars(preprocessing),
            name=name,
            device=device,
            class_names=class_names,
            origin=origin,
        )

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the images that the network takes."""
        return self.preprocessing.input_size

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over layers, weights and preprocessing; equal on every device and in every process."""
        return fingerprint(self.module, self.preprocessing)

    @cached_property
    def code(self) -> str:
        """16 hex digits over the network's code and its layers' settings, which the weights don't cover."""
        return digest_of_module(self.module)

    def to(self, device: str | torch.device) -> Classifier:
        """Return this classifier on another device; as in PyTorch, the module itself moves."""
        moved = Classifier.from_preprocessing(
            self.module,
            self.preprocessing,
            name=self.name,
            device=device,
            class_names=self.class_names,
            origin=self.origin,
        )
        moved.class_count = self.class_count
        return moved

    def with_network(self, network: Callable[[torch.Tensor], Any]) -> Classifier:
        """Return this classifier with `network` run in place of `module`: one that computes the same, such as a compiled one.

        `module` and `fingerprint` stay those of the original.
        """
        changed = copy.copy(self)
        changed._network = network  # noqa: SLF001 - of this class
        return changed

    def folded(self) -> Classifier:
        """Return this classifier with batch normalisations folded into its convolutions, or itself where none can be.

        Logits differ by rounding alone. The network and the folded one are compared on one image of noise.
        """
        noise = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (1, 3, *self.input_size), generator=noise, dtype=torch.uint8)

        def logits(network: nn.Module) -> torch.Tensor:
            with torch.no_grad():
                return self.with_network(network).logits(images.float())

        network = fold_batch_norms(self.module, logits)
        return self if network is self.module else self.with_network(network)

    @property
    def network(self) -> Callable[[torch.Tensor], Any]:
        """What runs: normalised pixels in, what `module` returns out."""
        return self._network

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of images, without gradients.

        Takes uint8 (N, 3, H, W) in 0..255 at `input_size`, from any device; returns float32 (N, classes) on
        the classifier's. Raises RobustcheckError for other images, for a network that does not return
        logits, and for logits with NaN or infinity.
        """
        self._check_images(images)
        if images.dtype != torch.uint8:
            raise RobustcheckError(
                f"images must be uint8, 0..255, got {images.dtype}: classifier.logits takes float pixels"
            )
        with torch.no_grad():
            logits = self._forward(images)
        self.check_finite(logits)
        return logits

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the logits of float pixels, differentiable with respect to them.

        Takes floats (N, 3, H, W) in 0..255 at `input_size`; returns float32 (N, classes). Checks what it can
        without waiting for the device; `check_finite` checks whether the logits are finite.
        """
        self._check_images(pixels)
        if not pixels.is_floating_point():
            raise RobustcheckError(f"pixels must be floats in 0..255, got {pixels.dtype}: use images.float()")
        return self._forward(pixels)

    def check_finite(self, logits: torch.Tensor, names: Sequence[str] | None = None) -> None:
        """Raise RobustcheckError if any row of `logits` (N, classes) holds NaN or infinity.

        The rows are named by `names`, one for each, or by position. On CUDA this waits for the device, so a
        caller with several batches should check them in one call.
        """
        if torch.isfinite(logits).all():
            return
        bad = (~torch.isfinite(logits).all(dim=1)).nonzero().flatten().tolist()
        rows = listed((str(names[row] if names else row) for row in bad), 10)
        raise RobustcheckError(
            f"{self.name} returned NaN or infinite logits for {len(bad)} of {len(logits)} images "
            f"({'' if names else 'batch positions '}{rows}); check its weights and normalisation, and the "
            "precision if it is below fp32"
        )

    def probe(self) -> int:
        """Return the number of classes, from one pass over a grey image if no batch was seen yet."""
        if self.class_count is None:
            self(torch.full((1, 3, *self.input_size), 127, dtype=torch.uint8))
        assert self.class_count is not None  # noqa: S101 - a pass either sets it or raises
        return self.class_count

    def __repr__(self) -> str:
        return f"<Classifier {self.name}: {self.preprocessing.describe()}, on {self.device}>"

    def _forward(self, pixels: torch.Tensor) -> torch.Tensor:
        # In two steps: one would convert on the host, and carry four times the bytes to the device.
        pixels = pixels.to(self.device, non_blocking=self.device.type == "cuda")
        pixels = pixels.to(torch.float32, memory_format=torch.channels_last)
        # The steps of torchvision's normalisation, each on a tensor that no gradient needs to see again.
        normalised = pixels.div(255).sub_(self._mean).div_(self._std)
        return self._checked(self._network(normalised.to(self._dtype)), len(pixels))

    @cached_property
    def _dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)

    def _check_images(self, images: torch.Tensor) -> None:
        if not isinstance(images, torch.Tensor):
            raise RobustcheckError(
                f"images must be a torch.Tensor, got {type_name(images)}: for numpy use torch.from_numpy(array)"
            )
        expected = f"(N, 3, {self.input_size[0]}, {self.input_size[1]})"
        if (
            images.ndim != 4
            or images.shape[1] != 3
            or tuple(images.shape[2:]) != self.input_size
            or not len(images)
        ):
            raise RobustcheckError(
                f"images for {self.name} must have shape {expected}, N >= 1, got {tuple(images.shape)}"
            )

    def _checked(self, returned: Any, count: int) -> torch.Tensor:
        output = logits_in(returned, count)
        if output is None:
            raise RobustcheckError(
                f"{self.name} must return logits, got {described(returned)}: wrap it in an nn.Module whose forward "
                "returns the logits alone, such as self.net(x)[0] or self.net(x).logits"
            )
        if output.ndim != 2 or len(output) != count or not output.is_floating_point():
            raise RobustcheckError(
                f"{self.name} must return float logits of shape ({count}, classes), got {output.dtype} of shape "
                f"{tuple(output.shape)}"
            )
        self._check_class_count(output.shape[1])
        return output.float()

    def _check_class_count(self, classes: int) -> None:
        if classes == self.class_count:
            return
        if self.class_count is not None:
            raise RobustcheckError(
                f"{self.name} must always return {self.class_count} classes, got {classes}"
            )
        if classes < 2:
            raise RobustcheckError(f"{self.name} must return logits for at least 2 classes, got {classes}")
        if self.class_names is not None and len(self.class_names) != classes:
            raise RobustcheckError(
                f"class_names must be one for each of the {classes} classes of {self.name}, got {len(self.class_names)}"
            )
        self.class_count = classes


def layers_in_train_mode(module: nn.Module) -> list[str]:
    """Return the kinds of a network's layers that are in train mode and act differently there."""
    kinds = {type(layer).__name__ for layer in module.modules() if layer.training}
    return sorted(kind for kind in kinds if any(word in kind for word in _TRAINING_MATTERS))
