"""Small networks on scikit-learn's digits, trained in the tests' time: five that are sound, and ten that are merely bad.

Images are 16x16: each of the 8x8 pixels four times. What is bad is the network (few epochs, few images, few weights, noise,
odd sizes of logits), never the set-up: no check may fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from robustcheck import Classifier, ImageSet

TRAINED_ON = 1300


@cache
def digits():
    """Pixels uint8 (1797, 3, 16, 16) and labels int64 (1797,)."""
    data = load_digits()
    pixels = np.minimum(data.images * 16, 255).astype(np.uint8).repeat(2, 1).repeat(2, 2)
    order = np.random.default_rng(0).permutation(len(pixels))
    return torch.from_numpy(pixels[order, None].repeat(3, 1)), torch.from_numpy(data.target[order]).long()


def of_classes(*kept):
    """The digits of some classes, numbered from 0."""
    pixels, labels = digits()
    chosen = torch.isin(labels, torch.tensor(kept))
    return pixels[chosen], torch.searchsorted(torch.tensor(kept), labels[chosen])


def coloured():
    """The digits in ten colours of their own, which make them easy."""
    pixels, labels = digits()
    colours = torch.tensor([[(c >> bit & 1) * 0.6 + 0.4 for bit in range(3)] for c in range(10)])
    tinted = pixels.float() * colours[labels][:, :, None, None]
    return (tinted + 20 * colours[labels][:, :, None, None]).clamp(0, 255).byte(), labels


def noisy():
    """The digits under noise that hides many of them, and a fifth of the labels to learn from wrong."""
    pixels, labels = digits()
    generator = torch.Generator().manual_seed(1)
    noise = 90 * torch.randn(pixels.shape, generator=generator)
    wrong = torch.rand(len(labels), generator=generator) < 0.2
    wrong[TRAINED_ON:] = False  # those to be evaluated on are right
    others = torch.randint(0, 10, labels.shape, generator=generator)
    return (pixels.float() + noise).clamp(0, 255).byte(), torch.where(wrong, others, labels)


class Network(nn.Module):
    """Two convolutions and two linear layers: some 30,000 weights at the default width."""

    def __init__(self, width=12, classes=10, *, act=F.relu, grey=False, scale=1.0, norm=False, dropout=0.0):
        super().__init__()
        self.one, self.two = nn.Conv2d(1 if grey else 3, width, 3, 2, 1), nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.norm = nn.BatchNorm2d(2 * width) if norm else nn.Identity()
        self.hidden, self.out = nn.Linear(32 * width, 5 * width), nn.Linear(5 * width, classes)
        self.act, self.grey, self.scale, self.dropout = act, grey, scale, dropout

    def forward(self, images):
        if self.grey:
            images = images.mean(1, keepdim=True)
        found = self.act(self.norm(self.two(self.act(self.one(images))))).flatten(1)
        found = F.dropout(self.act(self.hidden(found)), self.dropout, self.training)
        return self.out(found) * self.scale


class Flat(nn.Module):
    """A linear layer."""

    def __init__(self, classes=10):
        super().__init__()
        self.out = nn.Linear(768, classes)

    def forward(self, images):
        return self.out(images.flatten(1))


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained."""

    network: Callable[[], nn.Module] = Network
    data: Callable[[], tuple[torch.Tensor, torch.Tensor]] = digits
    epochs: int = 8
    count: int = TRAINED_ON
    epsilon: int = 0
    """Of adversarial training, in pixel levels."""
    options: dict = field(default_factory=dict)
    """Of the optimiser."""
    smoothing: float = 0.0


SOUND = {
    "plain": Recipe(),
    "robust": Recipe(epsilon=24, epochs=6),
    "two": Recipe(lambda: Network(classes=2), lambda: of_classes(0, 1)),
    "grey": Recipe(lambda: Network(grey=True)),
    "easy": Recipe(data=coloured),
}
BAD = {
    "one epoch": Recipe(epochs=1),
    "three epochs": Recipe(epochs=3),
    "fifty images": Recipe(count=50, epochs=60),
    "noisy data": Recipe(data=noisy),
    "linear": Recipe(Flat),
    "narrow": Recipe(lambda: Network(2), epochs=6),
    "overconfident": Recipe(lambda: Network(scale=20.0)),
    "hardly sure": Recipe(smoothing=0.5, epochs=4),
    "tanh": Recipe(lambda: Network(act=torch.tanh), options={"weight_decay": 0.1}),
    "dropout and batch norm": Recipe(lambda: Network(norm=True, dropout=0.5), epochs=3),
}
RECIPES = SOUND | BAD


def normalised(pixels):
    return pixels / 255 / 0.5 - 1


@cache
def trained(name):
    """Return a network as a classifier, and up to 320 images that it has not seen."""
    recipe = RECIPES[name]
    torch.manual_seed(0)
    net = recipe.network()
    pixels, labels = recipe.data()
    count = min(recipe.count, len(labels) * 2 // 3)
    fit(net, pixels[:count].float(), labels[:count], recipe)
    first = min(TRAINED_ON, len(labels) * 2 // 3)
    images = ImageSet.from_arrays(
        pixels[first : first + 320], labels[first : first + 320].numpy(), name="digits"
    )
    return Classifier(
        net.eval(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, name=name, device="cpu"
    ), images


def fit(net, pixels, labels, recipe):
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, **recipe.options)
    for _ in range(recipe.epochs):
        for at in torch.randperm(len(labels)).split(64):
            batch, own = pixels[at], labels[at]
            if recipe.epsilon:
                batch = adversarial(net, batch, own, recipe.epsilon)
            loss = F.cross_entropy(net(normalised(batch)), own, label_smoothing=recipe.smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def adversarial(net, pixels, labels, epsilon, steps=2):
    """Return pixels that some steps have moved up the loss, from a random start (Madry et al., arXiv 1706.06083)."""
    moved = pixels + epsilon * (2 * torch.rand_like(pixels) - 1)
    for _ in range(steps):
        moved = moved.clamp(0, 255).requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(net(normalised(moved)), labels), moved)
        moved = pixels + (moved.detach() + epsilon / 2 * gradient.sign() - pixels).clamp(-epsilon, epsilon)
    return moved.clamp(0, 255)
