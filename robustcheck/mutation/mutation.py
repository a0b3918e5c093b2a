"""A mutation: one fault, and the set-up that it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from robustcheck.errors import RobustcheckError
from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.models.logits import logits_in
from robustcheck.notation import View
from robustcheck.records.baseline import Baseline

Pixels = Callable[[torch.Tensor], torch.Tensor]


def unchanged(value: View) -> View:
    """Return a view as it is."""
    return value


@dataclass(frozen=True)
class Setup:
    """What an evaluation is made of, and a mutation changes."""

    classifier: Classifier
    images: ImageSet
    reopen: Callable[[Classifier], ImageSet]
    """Returns the same images by another classifier's rule of resizing."""
    rewrite: Callable[[View], View] = unchanged
    """The view that is evaluated in place of one that was asked for."""
    baseline: Baseline | None = None
    is_foldable: bool = True
    """Whether batch normalisations may be folded into convolutions; not where the fault is in how they run."""


@dataclass(frozen=True)
class Subject:
    """A sound set-up and the views that its claims name: what a mutation may apply to."""

    setup: Setup
    views: Sequence[View]

    @property
    def has_attack(self) -> bool:
        """Whether a claim names an attack."""
        return any(view.attack is not None for view in self.views)


class DoesNotApply(Exception):  # noqa: N818 - it is a reason, and no error
    """A mutation can't be applied; the message says why."""


@dataclass(frozen=True)
class Mutation:
    """One fault."""

    name: str
    what: str
    """What is broken, in a sentence."""
    advice: str
    """What a gate that notices it has."""
    change: Callable[[Setup], Setup]
    applies_to: Callable[[Subject], str] = field(default=lambda _subject: "")
    """Returns why it does not apply, or "" where it does."""
    is_of_baseline: bool = False
    """Whether it leaves the records as they are and changes those that they are compared with."""

    def applied(self, subject: Subject) -> Setup:
        """Return the set-up with this fault, its network tried on two images; raises `DoesNotApply` where it can't be made."""
        try:
            reason, setup = self.applies_to(subject), subject.setup
            if not reason:
                setup = self.change(setup)
            if setup.classifier is not subject.setup.classifier:
                with setup.classifier.evaluating():
                    setup.classifier(next(setup.images.batches(2)).pixels)
        except Exception as error:
            # A fault that can't be made is not one that was noticed.
            raise DoesNotApply(f"it can't be made here: {type(error).__name__}: {error}") from error
        if reason:
            raise DoesNotApply(reason)
        return setup


# ------------------------------------------------------------------------------------ what a mutation needs


def needs_labels(subject: Subject) -> str:
    """Return why a fault of the labels does not apply."""
    return "" if subject.setup.images.has_labels else "the images have no labels"


def needs_attack(subject: Subject) -> str:
    """Return why a fault of the gradient does not apply."""
    if not subject.has_attack:
        return "no claim names an attack"
    classifier, batch = subject.setup.classifier, next(subject.setup.images.batches(1))
    with classifier.evaluating(), torch.enable_grad():
        pixels = batch.pixels.float().to(classifier.device).requires_grad_()
        reaches = classifier.logits(pixels).requires_grad
    return "" if reaches else "the network has no gradient with respect to its input"


# ------------------------------------------------------------------------------------------ changed networks


class Around(nn.Module):
    """A network with something done before it, to its normalised pixels, and after it, to its logits."""

    def __init__(
        self,
        net: nn.Module,
        before: Pixels | None = None,
        after: Pixels | None = None,
        output: int | str | None = None,
    ) -> None:
        super().__init__()
        self.net, self.before, self.after, self.output = net, before, after, output
        self.training = net.training

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        returned = self.net(pixels if self.before is None else self.before(pixels))
        logits = logits_in(returned, len(pixels), self.output)
        if logits is None:
            raise RobustcheckError("the logits can't be told from what else the network returns")
        return logits if self.after is None else self.after(logits)


def with_module(classifier: Classifier, module: nn.Module, **rule: object) -> Classifier:
    """Return a classifier with another network, and another rule of preprocessing where one is given."""
    changed = Classifier.from_preprocessing(
        module,
        replace(classifier.preprocessing, **rule),  # type: ignore[arg-type]
        name=classifier.name,
        device=classifier.device,
        class_names=classifier.class_names,
        origin=classifier.origin,
    )
    if not isinstance(module, Around):
        changed.output = classifier.output
    # The layers are the same, and a trial takes longer than two images.
    changed.known_channels_last = classifier.channels_last
    return changed


def around(before: Pixels | None = None, after: Pixels | None = None) -> Callable[[Setup], Setup]:
    """Return a change that does something before and after the network."""

    def change(setup: Setup) -> Setup:
        sound = setup.classifier
        return replace(
            setup, classifier=with_module(sound, Around(sound.module, before, after, sound.output))
        )

    return change


class Backward(torch.autograd.Function):
    """The identity, with a gradient of its own."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, pixels: torch.Tensor, change: Pixels
    ) -> torch.Tensor:
        """Return the pixels."""
        ctx.change = change  # type: ignore[attr-defined]
        return pixels.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the changed gradient."""
        return ctx.change(grads[0]), None  # type: ignore[attr-defined]


@contextmanager
def seeded(device: torch.device, seed: int = 0) -> Iterator[None]:
    """Draw from a fixed random state, and leave the process's as it is."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
