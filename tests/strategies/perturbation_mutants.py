"""Functions of images and their perturbed versions with one fault each: what `strategies.perturbations` is to find.

`drawn` says on which images: "grey" (one flat 6 x 6), "saturated" (black, white and between) or "batch" (two).
"""

from __future__ import annotations

import torch

from tests.strategies.mutants import Mutant, mutant

EPSILON = 12  # its square overflows int8


def linf(
    clean,
    changed,
    wraps=False,
    signed=False,
    mean=False,
    channels=3,
    images=None,
    rows=None,
    bits=torch.int32,
):
    """The largest change of each image."""
    difference = (changed - clean) if wraps else (changed.to(bits) - clean.to(bits))
    size = (difference if signed else difference.abs()).int()[:images, :channels, :rows]
    return size.double().mean((1, 2, 3)) if mean else size.amax((1, 2, 3))


def l2(clean, changed, bits=torch.int32, axes=(1, 2, 3)):
    """The Euclidean size of each image's change, squared."""
    difference = (changed.int() - clean.int()).to(bits)
    return (difference * difference).double().sum(axes)


def is_within(clean, changed, strict=False, floats=False, upper_only=False):
    """Whether each image lies in the ball."""
    if floats:
        return ((changed / 255 - clean / 255).abs() <= EPSILON / 255).all()
    difference = changed.int() - clean.int()
    size = difference if upper_only else difference.abs()
    return (size < EPSILON if strict else size <= EPSILON).all()


def projected(clean, changed, wraps=False, lower=True, radius=EPSILON - 2):
    """The nearest images in a smaller ball."""
    low, high = (
        ((clean - radius), (clean + radius)) if wraps else (clean.int() - radius, clean.int() + radius)
    )
    return changed.clamp(low, high) if wraps else changed.int().clamp(low if lower else None, high)


def changed_pixels(clean, changed, samples=False, sums=False, first=False):
    """How many pixels of each image are changed."""
    differs = changed != clean
    if sums:  # changes of opposite sign cancel
        return (changed.int() - clean.int()).sum(1).ne(0).sum((1, 2))
    if first:
        return differs[:, 0].sum((1, 2))
    return differs.sum((1, 2, 3)) if samples else differs.any(1).sum((1, 2))


def is_unchanged(clean, changed, mean=False, corner=False):
    """Whether nothing is changed."""
    if mean:
        return changed.double().mean() == clean.double().mean()
    return changed[..., :-1, :-1].equal(clean[..., :-1, :-1]) if corner else changed.equal(clean)


def rebuilt(clean, changed, reaches=False, flips=False):
    """The perturbed images from clean ones, signs and sizes."""
    difference = changed.int() - clean.int()
    size = EPSILON if reaches else difference.abs()
    sign = torch.where(difference >= 0, 1, -1) if flips else difference.sign()
    moved = clean.int() + size * sign
    return moved if not flips else clean.int() + EPSILON * sign


def undone(clean, changed, assumes=False):
    """Which samples lost a part of a step upwards to clipping."""
    return (
        torch.zeros_like(clean, dtype=torch.bool) if assumes else (changed == 255) & (clean > 255 - EPSILON)
    )


def at_corner(clean, changed, clips=True):
    """Whether every sample was moved as far as it can be."""
    far = (changed.int() - clean.int()).abs() == EPSILON
    return (far | (changed == 0) | (changed == 255)).all() if clips else far.all()


MUTANTS = (
    mutant("linf: wraps in uint8", linf, "grey", wraps=True),
    mutant("linf: without the absolute value", linf, "grey", signed=True),
    mutant("linf: mean in place of the largest", linf, "grey", mean=True),
    mutant("linf: first channel only", linf, "grey", channels=1),
    mutant("linf: first image only", linf, "batch", images=1),
    mutant("linf: last row missed", linf, "grey", rows=-1),
    mutant("l2: squares overflow int8", l2, "grey", bits=torch.int8),
    mutant("l2: over the batch", l2, "batch", axes=(0, 1, 2, 3)),
    mutant("within: < in place of <=", is_within, "grey", strict=True),
    mutant("within: rounding in float32", is_within, "saturated", floats=True),
    mutant("projection: bounds wrap in uint8", projected, "saturated", wraps=True),
    mutant("projection: no lower bound", projected, "grey", lower=False),
    mutant("pixels: samples are counted", changed_pixels, "grey", samples=True),
    mutant("pixels: changes cancel", changed_pixels, "batch", sums=True),
    mutant("pixels: first channel only", changed_pixels, "grey", first=True),
    mutant("unchanged: means are compared", is_unchanged, "grey", mean=True),
    mutant("unchanged: last row and column missed", is_unchanged, "grey", corner=True),
    mutant("rebuilt: every change reaches epsilon", rebuilt, "grey", reaches=True),
    mutant("rebuilt: what is unchanged goes up", rebuilt, "grey", flips=True),
    mutant("clipping: forgotten", undone, "saturated", assumes=True),
    mutant("corner: clipped samples do not count", at_corner, "saturated", clips=False),
)
assert all(isinstance(each, Mutant) for each in MUTANTS)
