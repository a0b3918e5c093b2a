"""Faults of the gradient that attacks follow: the network's logits stay as they are."""

from __future__ import annotations

from dataclasses import replace

import torch

from robustcheck.mutation.mutation import (
    Around,
    Backward,
    Mutation,
    Pixels,
    Setup,
    around,
    needs_attack,
    with_module,
)

_ATTACKED = "a claim that each attack works: accuracy(Adv_1) <= 0.5 * accuracy(x), and a bound for each further attack"


def _backward(change: Pixels) -> Pixels:
    return lambda pixels: Backward.apply(pixels, change)


def _stored(setup: Setup) -> Setup:
    sound = setup.classifier
    generator = torch.Generator().manual_seed(0)
    decoy = torch.randn((3, *sound.input_size), generator=generator).to(sound.device)
    before = _backward(lambda grad: decoy.to(grad.dtype).expand_as(grad) * grad.abs().mean())
    return replace(setup, classifier=with_module(sound, Around(sound.module, before, None, sound.output)))


def _half(grad: torch.Tensor) -> torch.Tensor:
    kept = torch.zeros_like(grad)
    kept[..., : grad.shape[-1] // 2] = grad[..., : grad.shape[-1] // 2]
    return kept


MUTATIONS = (
    Mutation(
        "gradient_cut",
        "no gradient reaches the pixels: a detach, a no_grad or an argmax on the way",
        _ATTACKED,
        around(before=torch.Tensor.detach),
        needs_attack,
    ),
    Mutation(
        "gradient_reversed",
        "the attack lowers the loss that it should raise",
        _ATTACKED,
        around(before=_backward(torch.neg)),
        needs_attack,
    ),
    Mutation(
        "gradient_of_noise",
        "the gradient is the same random pattern for every image: it is masked",
        _ATTACKED,
        _stored,
        needs_attack,
    ),
    Mutation(
        "gradient_mirrored",
        "the gradient belongs to the mirror image",
        _ATTACKED,
        around(before=_backward(lambda grad: grad.flip(3))),
        needs_attack,
    ),
    Mutation(
        "gradient_of_half_the_image",
        "the right half of the image has no gradient",
        "an upper bound on accuracy(Adv_1) near what is measured, not only far below accuracy(x)",
        around(before=_backward(_half)),
        needs_attack,
    ),
)
