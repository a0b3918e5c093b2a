"""Two-class problems on a network's own features, of each of which an adversarial example is known to exist.

The binarization test of Zimmermann, Brendel, Tramer, Carlini: *Increasing confidence in adversarial robustness
evaluations* (NeurIPS 2022, arXiv 2206.13991). For each image a linear head is fitted that tells one corner of the ball,
the planted example, from random images well inside it. The corner is that towards another image, with the sign changed in some
blocks: independent signs move the features too little to be told from other random signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - what everybody calls it
from torch import Tensor, nn

from robustcheck.attacks import Ball
from robustcheck.attacks.philox import signs
from robustcheck.attacks.seeds import image_seeds, mixed_seeds
from robustcheck.models import Classifier
from robustcheck.notation import ThroughStep, View, load
from robustcheck.notation.tree import DRAWS
from robustcheck.sanity.features import FeaturesOf, features_of
from robustcheck.transforms.transform import TransformCall

INSIDE, TRIES = 48, 100
"""Random images that a head is fitted to, and random corners that must not solve the problem."""
_INSIDE_RADIUS = 0.9
_SHRINKAGE = 1.0
"""Weight of the identity beside the covariance of the features: with less, heads are on features that are 0 on most images,
and have a gradient of 0 there, which no sound attack can follow."""
_BLOCKS = 4
"""Blocks along height and width, in which the corner is searched."""
_SLACK = 0.05
"""How far the planted example is on its side of the boundary, as a share of its distance from the random images."""
_POOLED = 16
_APART = 16
"""Levels by which images must differ beyond what attacks change, for what a defence changes."""


@dataclass(frozen=True)
class Threat:
    """What an attack may change, and the defences that it goes through on the way to the network."""

    epsilon: int
    norm: str
    through: tuple[ThroughStep, ...] = ()

    @classmethod
    def of(cls, attack: View) -> Threat:
        """Return that of an attack, such as `PGD_8[through=JPG]`."""
        return cls(int(attack.number), attack.options.get("norm", "inf"), attack.through)

    @property
    def draws(self) -> int:
        """How many draws of the defences tell what they do."""
        return DRAWS if any(step.view.is_seeded for step in self.through) else 1

    def ball(self, images: Tensor) -> Ball:
        """Return the images that may be tried."""
        return Ball.around(images, self.epsilon, "2" if self.norm == "2" else "inf")

    def moved(self, images: Tensor, change: Tensor) -> Tensor:
        """Return images as far along a change as may be: uint8, of the shape of `images`."""
        ball = self.ball(images)
        return ball.to_bytes(ball.project(images + self.epsilon * change.float()))

    def inside(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return random images well inside: uint8, of the shape of `images`."""
        change = self.ball(images).random(seeds) - images.float()
        return (images + _INSIDE_RADIUS * change).round().to(torch.uint8)

    def defended(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return what the defences make of uint8 images."""
        for number, step in enumerate(self.through):
            transform = load(step.view.declared.implementation)
            images = transform(images, TransformCall(step.view, mixed_seeds(seeds, number)))
        return images


class PlantedNetwork(nn.Module):
    """A network with a head of its own, of two classes, for each of some images and all that is near it."""

    images: Tensor
    weights: Tensor
    biases: Tensor

    def __init__(self, features: FeaturesOf, images: Tensor, heads: Sequence[Head]) -> None:
        super().__init__()
        self._features = features
        self.register_buffer("images", _pooled(images))
        self.register_buffer("weights", torch.stack([head.weights for head in heads]))
        self.register_buffer("biases", torch.stack([head.bias for head in heads]))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (n, 2) of pixels in 0..1: the second is the larger where the planted class is found."""
        levels = pixels * 255
        with torch.no_grad():
            nearest = torch.cdist(_pooled(levels), self.images).argmin(dim=1)
        score = (self._features(levels) * self.weights[nearest]).sum(dim=1) + self.biases[nearest]
        return torch.stack([-score, score], dim=1)


@dataclass(frozen=True)
class Head:
    """A linear function of features that is positive for the planted example, and negative for images inside the ball."""

    planted: Tensor  # (3, H, W) uint8
    weights: Tensor  # (features,) float32
    bias: Tensor  # () float32
    is_found_by_chance: bool
    """Whether it is positive for a random corner, too."""


@dataclass(frozen=True)
class Planting:
    """How heads are made for images of one network."""

    classifier: Classifier
    threat: Threat
    features: FeaturesOf
    seed: int
    batch_size: int

    @classmethod
    def on(
        cls, classifier: Classifier, threat: Threat, images: Tensor, seed: int, batch_size: int
    ) -> Planting:
        """Return that of heads on the network's features, or on its logits where these can't be reached."""
        return cls(classifier, threat, features_of(classifier, images[:2]), seed, batch_size)

    def head(self, image: Tensor, towards: Tensor) -> Head | None:
        """Return the head of one image, (3, H, W) as is `towards`; None if no linear function can be it."""
        images = image[None].expand(TRIES, -1, -1, -1)
        seeds = image_seeds(self.seed, [f"planted {number}" for number in range(TRIES)], str(self.threat))
        random = signs(seeds, image.numel(), image.device).view(images.shape)
        direction = torch.sign(towards.float() - image.float())
        direction = torch.where(direction == 0, random[0].float(), direction)
        tried = [self.threat.inside(images[:INSIDE], seeds[:INSIDE]), self.threat.moved(images, random)]
        found = self._features_of(torch.cat(tried))
        inside, corners = found[:INSIDE], found[INSIDE:]
        weights = _discriminant(inside, self._seen(image, direction).mean(dim=0))
        if weights is None:
            return None
        corners = corners @ weights
        directions = direction, self._searched(image, direction, weights)
        heads = [self._head(image, each, weights, inside @ weights, corners) for each in directions]
        return max(filter(None, heads), key=lambda head: -float(head.bias), default=None)

    def _head(
        self, image: Tensor, direction: Tensor, weights: Tensor, inside: Tensor, corners: Tensor
    ) -> Head | None:
        """Return the head of a planted example, from scores of images; None where those inside reach its own."""
        least, most = (self._seen(image, direction) @ weights).min(), inside.max()
        if not least > most:
            return None
        bound = least - _SLACK * (least - most)
        planted = self.threat.moved(image[None], direction[None])[0]
        return Head(planted, weights.float(), -bound.float(), bool((corners > bound).any()))

    def _seen(self, image: Tensor, direction: Tensor) -> Tensor:
        """Return the features of the corner in one direction, for each draw of the defences: (draws, features)."""
        planted = self.threat.moved(image[None], direction[None])
        return self._features_of(planted.expand(self.threat.draws, -1, -1, -1))

    def _searched(self, image: Tensor, direction: Tensor, weights: Tensor) -> Tensor:
        """Return a direction with the other sign in all blocks where that alone raises the score, without a gradient."""
        flips = _block_flips(image)
        images = image[None].expand(len(flips), -1, -1, -1)
        scores = self._features_of(self.threat.moved(images, direction * flips)) @ weights
        before = (self._seen(image, direction) @ weights).mean()
        return direction * torch.where((scores > before).view(-1, 1, 1, 1), flips, 1).prod(dim=0)

    def classifier_of(self, images: Tensor, heads: Sequence[Head]) -> Classifier:
        """Return the network with heads for some images as a classifier of two classes."""
        return Classifier(
            PlantedNetwork(self.features, images, heads),
            mean=(0.0,) * 3,
            std=(1.0,) * 3,
            input_size=self.classifier.input_size,
            device=self.classifier.device,
            name=f"{self.classifier.name} with planted examples",
        )

    def _features_of(self, images: Tensor) -> Tensor:
        seeds = image_seeds(self.seed, [str(number) for number in range(len(images))], "features")
        parts = zip(
            torch.split(images, self.batch_size),
            (seeds[at : at + self.batch_size] for at in range(0, len(seeds), self.batch_size)),
            strict=True,
        )
        with torch.no_grad():
            found = [self.features(self.threat.defended(part, own).float()) for part, own in parts]
        return torch.cat(found).double()


def apart(images: Tensor, threat: Threat) -> Tensor:
    """Return those images, of uint8 (n, 3, H, W), each of which stays the nearest to itself under any attack."""
    by_pixel, euclidean = (torch.cdist(_pooled(images), _pooled(images), p=p) for p in (1.0, 2.0))
    if threat.norm == "2":
        near = euclidean <= 2 * threat.epsilon + _APART
    else:
        near = euclidean**2 <= (2 * threat.epsilon + _APART) * by_pixel
    kept: list[int] = []
    for number in range(len(images)):
        if not near[number, kept].any():
            kept.append(number)
    return images[kept]


def _discriminant(inside: Tensor, planted: Tensor) -> Tensor | None:
    """Return the linear discriminant of the planted example's features from those inside, (n, features); None if there is none."""
    centre = inside.mean(dim=0)
    spread = (inside - centre).T @ (inside - centre) / len(inside)
    size = spread.trace() / len(centre) * _SHRINKAGE
    if not size > 0:  # the features are constant
        return None
    unit = torch.eye(len(centre), device=size.device, dtype=size.dtype)
    weights: Tensor = torch.linalg.solve(spread + size * unit, planted - centre)
    return weights / (inside @ weights).std().clamp_min(1e-12)


def _block_flips(image: Tensor) -> Tensor:
    """Return -1 in one block and channel each, else 1: float32 (blocks, 3, H, W)."""
    channels, height, width = image.shape
    rows, columns = (torch.arange(side, device=image.device) * _BLOCKS // side for side in (height, width))
    block = (rows[:, None] * _BLOCKS + columns) + _BLOCKS**2 * torch.arange(channels, device=image.device)[
        :, None, None
    ]
    numbers = torch.arange(channels * _BLOCKS**2, device=image.device)
    return torch.where(block == numbers.view(-1, 1, 1, 1), -1.0, 1.0)


def _pooled(images: Tensor) -> Tensor:
    height, width = (min(_POOLED, side) for side in images.shape[2:])
    return F.adaptive_avg_pool2d(images.float(), (height, width)).flatten(1)
