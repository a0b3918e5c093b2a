"""A classifier as the evaluation sees it: pixels in, logits out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from robustcheck.errors import RobustcheckError
from robustcheck.models.batchnorm_fold import fold_batch_norms
from robustcheck.models.computed_precision import computed_in
from robustcheck.models.equivalence import equivalent
from robustcheck.models.eval_mode import EvalMode, buffers_restored
from robustcheck.models.fingerprint import fingerprint
from robustcheck.models.logits import access_to, described, logits_in, type_name
from robustcheck.models.network_state import network_digest
from robustcheck.models.precision import PRECISION_NAMES, Precision
from robustcheck.models.preprocessing import Preprocessing, Size
from robustcheck.models.user_network import (
    check_network,
    checked_shape,
    network_error,
    one_logit_advice,
    placed,
    weights_dtype,
)
from robustcheck.text import listed, printable


class Classifier:
    """A network with the normalisation of its pixels.

    `mean` and `std` are those of pixels in 0..1, three numbers each, or one each for a network of grey images: it
    gets one channel, (R + G + B) / 3, and its images and views stay RGB. `input_size` is an integer or
    (height, width). `resize` and `interpolation` bring a photograph to that size (default: as small as covers it,
    bicubic, then a centre crop of what is over, so that images of that size are taken as they are; a network that was
    trained for a smaller crop needs its `resize`, as 256 for an input of 224).

        Classifier(net, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), input_size=224)

    The network is not moved or changed. If it is on `device` it runs there as it is; otherwise the classifier
    holds a copy, made now, that later changes to the network don't reach (to have none, move it yourself first:
    `net.to("cuda")`). "auto" is the accelerator that it is on, or else CUDA where there is one. While it runs it is
    in eval mode (with a RobustnessWarning if it was in train mode and that makes a difference) and its parameters
    require no gradients; afterwards both are as they were. Attributes that its own forward writes are its own.
    Images reach it as float tensors (N, 3, H, W), or (N, 1, H, W) if it takes grey ones, in channels_last memory if it
    computes the same on them.

    `module` returns logits (N, classes), or a tuple, dictionary or dataclass that holds them: as the part called
    logits or the only part of that shape, or else `output` is its place (0, 1, ...) or name. `origin` is what a
    report adds about where the weights came from. Raises RobustcheckError for a network without weights,
    and for a TorchScript or torch.export program (see `load_program`).
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
        output: int | str | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise RobustcheckError(f"module must be a torch.nn.Module, got {type_name(module)}")
        self.preprocessing: Preprocessing = Preprocessing.for_size(
            input_size, resize=resize, interpolation=interpolation, antialias=antialias, mean=mean, std=std
        )
        self.name: str = name or type(module).__name__
        self.class_names: tuple[str, ...] | None = None if class_names is None else tuple(class_names)
        self.class_count: int | None = None
        self.origin = origin
        self.output = output
        check_network(module, self.name)
        self.module: nn.Module
        self.device: torch.device
        self.module, self.device = placed(module, device, self.name)
        self._eval_mode = EvalMode(self.module, self.name)
        self.trial_images: int = 2
        """How many images the network is tried on: one where it has no room for two."""
        self.known_channels_last: bool | None = None
        """Whether images reach the network in channels_last memory; None where that is not known yet. May be taken over from
        a network of the same layers."""
        self.is_folded: bool = False
        """Whether batch normalisations are folded into convolutions; also of a compiled network."""
        self.network: Callable[[torch.Tensor], Any] = self.module
        """What runs: normalised pixels in, what `module` returns out."""
        with torch.inference_mode(mode=False):  # whose tensors no gradient could go through later
            self._mean, self._std = (
                torch.tensor(values, dtype=torch.float32, device=self.device).view(-1, 1, 1)
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
        made = cls(
            module,
            mean=preprocessing.mean,
            std=preprocessing.std,
            input_size=preprocessing.input_size,
            name=name,
            device=device,
            class_names=class_names,
            origin=origin,
        )
        made.preprocessing = preprocessing
        return made

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the images that the network takes."""
        return self.preprocessing.input_size

    @property
    def fingerprint(self) -> str:
        """16 hex digits over layers, weights as they are now, and preprocessing; equal in every process."""
        return fingerprint(self.module, self.preprocessing, self.output)

    @property
    def state_digest(self) -> str:
        """32 hex digits over all that its numbers depend on: weights, attributes, hooks and code.

        The network runs twice, to find the attributes that its own forward pass writes, which don't count. Raises
        `robustcheck.models.network_state.UnknownState` for what can't be compared between runs.
        """
        with self._trial():
            return network_digest(self.module, lambda number: self(self._noise(number)))

    @property
    def computed_in(self) -> tuple[str, ...]:
        """The precisions in which the network computes by itself, without a surrounding autocast: ("fp32",), ("bf16",)."""
        try:
            with self._trial(), torch.no_grad():
                pixels = self._normalised(self._noise(0).float())
                return computed_in(lambda: self.network(pixels))
        except Exception:  # noqa: BLE001 - its own errors come again
            dtype = weights_dtype(self.module)
            return (PRECISION_NAMES.get(dtype, str(dtype)),)

    def to(self, device: str | torch.device) -> Classifier:
        """Return this classifier on another device, with a copy of the network if it is not there."""
        moved = Classifier.from_preprocessing(
            self.module,
            self.preprocessing,
            name=self.name,
            device=device,
            class_names=self.class_names,
            origin=self.origin,
        )
        moved.class_count, moved.output = self.class_count, self.output
        return moved

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Hold the network in eval mode, without gradients of its parameters, and outside any `torch.autocast`.

        Every evaluation, and `fgs` and `pgd` as calls, run in it; at the end the network is as it was, buffers that
        its own forward pass writes among it.
        """
        autocast = torch.autocast(self.device.type, enabled=False)
        with self._eval_mode, buffers_restored(self.module), autocast:
            yield

    @property
    def channels_last(self) -> bool:
        """Whether images reach the network in channels_last memory, which its convolutions are faster on.

        It is found when the network first runs: it must compute the same on noise in either layout.
        """
        if self.known_channels_last is None:
            self.known_channels_last = False  # for the time of the trial, and if it fails
            if any(parameter.ndim == 4 for parameter in self.module.parameters()):  # kernels
                other = copy.copy(self)
                other.known_channels_last = True
                self.known_channels_last = self._is_equivalent(other, [self._noise(0)])
        return self.known_channels_last

    def with_network(self, network: Callable[[torch.Tensor], Any]) -> Classifier:
        """Return this classifier with `network` run in place of `module`: one that computes the same, such as a compiled one.

        `module` and `fingerprint` stay those of the original.
        """
        _ = self.channels_last  # which the other is to have, too
        changed = copy.copy(self)
        changed.network = network
        return changed

    def folded(
        self, images: Callable[[], Sequence[torch.Tensor]] | None = None, *, check: bool = True
    ) -> Classifier:
        """Return this classifier with batch normalisations folded into its convolutions, or itself where none can be.

        The folded network must compute the same on two batches: those of `images`, uint8 (N, 3, H, W) each, or noise
        (see `robustcheck.models.equivalence`); without `check` it is taken as it is. Whatever fails on the way, the
        classifier itself is returned.
        """
        try:
            batches = [] if images is None else [*images()]
            batches += [self._noise(seed) for seed in range(2 - len(batches))]
            with self._trial():
                network = fold_batch_norms(
                    self.module,
                    lambda module: self.with_network(module).logits(batches[0].float()),
                    channels_last=self.channels_last,
                )
            folded = self.with_network(network)
            folded.is_folded = True
            is_taken = network is not self.module and (not check or self._is_equivalent(folded, batches))
        except Exception:  # noqa: BLE001 - it runs as it is, and errors of its own come again
            return self
        return folded if is_taken else self

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of images, without gradients.

        Takes uint8 (N, 3, H, W) in 0..255 at `input_size`, from any device; returns float32 (N, classes) on
        the classifier's. Raises RobustcheckError for other images, for a network that does not return
        logits, and for logits with NaN or infinity.
        """
        _check_images(self, images)
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
        _check_images(self, pixels)
        if not pixels.is_floating_point():
            raise RobustcheckError(f"pixels must be floats in 0..255, got {pixels.dtype}: use images.float()")
        return self._forward(pixels)

    def check_finite(self, logits: torch.Tensor) -> None:
        """Raise RobustcheckError if any row of `logits` (N, classes) holds NaN or infinity.

        On CUDA this waits for the device, so a caller with several batches should check them in one call.
        """
        if torch.isfinite(logits).all():
            return
        bad = (~torch.isfinite(logits).all(dim=1)).nonzero().flatten().tolist()
        raise RobustcheckError(
            f"{self.name} returned NaN or infinite logits for {len(bad)} of {len(logits)} images "
            f"(batch positions {listed(map(str, bad), 10)}); check its weights and normalisation, and the precision if "
            "it is below fp32"
        )

    def probe(self) -> int:
        """Return the number of classes, from one pass over two grey images if no batch was seen yet."""
        if self.class_count is None:
            grey = torch.full((self.trial_images, 3, *self.input_size), 127, dtype=torch.uint8)
            try:
                self(grey)
            except torch.OutOfMemoryError:
                self.trial_images = 1
                self(grey[:1])
        assert self.class_count is not None  # noqa: S101 - a pass either sets it or raises
        return self.class_count

    def __repr__(self) -> str:
        return printable(f"<Classifier {self.name}: {self.preprocessing.describe()}, on {self.device}>")

    def _forward(self, pixels: torch.Tensor) -> torch.Tensor:
        normalised = self._normalised(pixels)
        with self._eval_mode:
            try:
                returned = self.network(normalised)
            except (RobustcheckError, torch.OutOfMemoryError):
                raise
            except Exception as error:
                raise network_error(self.name, self.module, normalised, error) from error
        return self._checked(returned, len(pixels))

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        # In two steps: one would convert on the host, and carry four times the bytes to the device.
        pixels = pixels.to(self.device, non_blocking=self.device.type == "cuda")
        pixels = pixels.to(torch.float32, memory_format=layout).contiguous(memory_format=layout)
        if self.preprocessing.is_grey:
            pixels = pixels.mean(1, keepdim=True)
        # The steps of torchvision's normalisation, each on a tensor that no gradient needs to see again.
        return pixels.div(255).sub_(self._mean).div_(self._std).to(weights_dtype(self.module))

    def _noise(self, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        shape = (self.trial_images, 3, *self.input_size)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    @contextmanager
    def _trial(self) -> Iterator[None]:
        """Run the network for nobody's numbers: in single precision, and from the random state that it is left in."""
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            warnings.catch_warnings(),
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            torch.random.fork_rng(devices=devices),
            self.evaluating(),
            Precision("fp32", self.device).arithmetic(),
        ):
            warnings.simplefilter("ignore")  # they come again when it runs
            yield

    def _is_equivalent(self, other: Classifier, batches: Sequence[torch.Tensor]) -> bool:
        """Whether a classifier that runs otherwise has the same logits and gradients; not where anything fails."""
        is_16_bit = weights_dtype(self.module).itemsize < 4
        try:
            with self._trial():
                return equivalent(self.logits, other.logits, batches, is_16_bit=is_16_bit)
        except Exception:  # noqa: BLE001 - then it runs as it is, and the network's own errors come again
            return False

    def _checked(self, returned: Any, count: int) -> torch.Tensor:
        output = logits_in(returned, count, self.output)
        if output is None:
            where = "" if self.output is None else f" as output={self.output!r}"
            raise RobustcheckError(
                f"{self.name} must return logits{where}, got {described(returned)}: choose the part, such as "
                "Classifier(..., output=1) or output='name', or wrap it in an nn.Module whose forward returns the logits "
                "alone, such as self.net(x)[0] or self.net(x).logits"
            )
        access = access_to(output, returned)
        output = checked_shape(self.name, output, count, access)
        self._check_class_count(output.shape[1], access)
        return output.float()

    def _check_class_count(self, classes: int, access: str) -> None:
        if classes == self.class_count:
            return
        if self.class_count is not None:
            raise RobustcheckError(
                f"{self.name} must always return {self.class_count} classes, got {classes}"
            )
        if classes < 2:
            raise RobustcheckError(
                f"{self.name} must return logits for at least 2 classes, got {classes}{one_logit_advice(self.name, access)}"
            )
        if self.class_names is not None and len(self.class_names) != classes:
            raise RobustcheckError(
                f"class_names must be one for each of the {classes} classes of {self.name}, got {len(self.class_names)}"
            )
        self.class_count = classes


def _check_images(classifier: Classifier, images: torch.Tensor) -> None:
    if not isinstance(images, torch.Tensor):
        raise RobustcheckError(
            f"images must be a torch.Tensor, got {type_name(images)}: for numpy use torch.from_numpy(array)"
        )
    height, width = classifier.input_size
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, height, width) or not len(images):
        raise RobustcheckError(
            f"images for {classifier.name} must have shape (N, 3, {height}, {width}), N >= 1, got {tuple(images.shape)}"
        )
