"""Forward the exact round trip, backward the gradient of the smooth chain."""

from __future__ import annotations

import pytest
import torch

from robustcheck import jpeg
from robustcheck.jpeg.differentiable import smooth

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


def fractional(images, dtype=torch.float32):
    """Pixels between the levels, so that rounding them matters."""
    offsets = torch.rand(images.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (images.double() + 0.9 * (offsets - 0.5)).clamp(0, 255).to(dtype)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("options", [{}, {"rounding": "cubic"}, {"gradient": "straight-through"}])
@pytest.mark.parametrize("tracked", [True, False])
def test_forward_is_the_round_trip_to_the_bit(photograph, subsampling, options, tracked):
    images = torch.cat([photograph(name, 61, 75) for name in ("coffee", "chelsea", "rocket")])
    quality = torch.tensor([20, 75, 95])
    levels = fractional(images).requires_grad_(tracked)
    result = jpeg.differentiable(levels, quality=quality, subsampling=subsampling, **options)
    expected = jpeg.roundtrip(
        levels.detach().round().to(torch.uint8), quality=quality, subsampling=subsampling
    )
    assert torch.equal(result, expected.float())
    assert result.requires_grad is tracked


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_every_float_type_keeps_its_type_and_is_exact(photograph, dtype):
    images = photograph("astronaut", 48, 48)
    levels = images.to(dtype).requires_grad_()
    result = jpeg.differentiable(levels)
    result.sum().backward()
    assert result.dtype is dtype
    assert torch.equal(result.to(torch.uint8), jpeg.roundtrip(images))
    assert levels.grad.dtype is dtype
    assert levels.grad.isfinite().all()


@pytest.mark.parametrize("rounding", ["identity", "cubic"])
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("size", [(9, 11), (3, 4), (8, 5)])
def test_gradient_is_that_of_finite_differences(rounding, subsampling, size):
    generator = torch.Generator().manual_seed(2)
    levels = torch.rand((2, 3, *size), generator=generator, dtype=torch.float64) * 255
    levels.requires_grad_()
    cotangent = torch.randn(levels.shape, generator=generator, dtype=torch.float64)
    quality = torch.tensor([40, 90])
    result = jpeg.differentiable(levels, quality=quality, subsampling=subsampling, rounding=rounding)
    (gradient,) = torch.autograd.grad(result, levels, cotangent)

    step = 1e-5
    for index in range(2):
        pixels = levels[index].detach()
        places = range(0, pixels.numel(), 5)
        nudges = torch.zeros(len(places), pixels.numel(), dtype=torch.float64)
        nudges[range(len(places)), places] = step
        nudges = nudges.view(-1, *pixels.shape)
        both = torch.cat((pixels + nudges, pixels - nudges))
        values = smooth(both, quality[index].expand(len(both)), subsampling, rounding)
        above, below = (values * cotangent[index]).sum((1, 2, 3)).split(len(places))
        slopes = (above - below) / (2 * step)
        assert torch.allclose(gradient[index].flatten()[places], slopes, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_smooth_chain_is_the_exact_one_but_for_rounding(photograph, subsampling):
    images = photograph("chelsea", 90, 77)
    stand_in = smooth(images.double(), torch.tensor([100]), subsampling, "identity")
    exact = jpeg.roundtrip(images, quality=100, subsampling=subsampling)
    assert (stand_in - exact).abs().max() < 4
    assert (stand_in - exact).mean().abs() < 0.3


@pytest.mark.parametrize(("grey", "expected"), [(129.8, 129.998), (130.6, 130.054), (126.4, 126.016)])
def test_cubic_rounding_of_a_flat_grey_by_hand(grey, expected):
    """At quality 50 the step of the mean is 2 levels: u = (grey - 128) / 2 becomes round(u) + (u - round(u))^3."""
    levels = torch.full((1, 3, 8, 8), grey, dtype=torch.float64)
    result = smooth(levels, torch.tensor([50]), "4:4:4", "cubic")
    assert torch.allclose(result, torch.full_like(levels, expected), atol=2e-3)


def test_cubic_rounding_stays_near_the_levels_of_the_quantiser(photograph):
    images = photograph("coffee", 64, 64)
    quality = torch.tensor([10])
    exact = jpeg.roundtrip(images, quality=10).double()
    cubic, identity = (smooth(images.double(), quality, "4:2:0", name) for name in ("cubic", "identity"))
    assert (cubic - exact).abs().mean() < 0.6 * (identity - exact).abs().mean()


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_gradient_reaches_every_pixel_of_a_photograph(photograph, subsampling):
    levels = photograph("chelsea", 224, 224).float().requires_grad_()
    cotangent = torch.randn(levels.shape, generator=torch.Generator().manual_seed(3))
    jpeg.differentiable(levels, subsampling=subsampling).backward(cotangent)
    assert (levels.grad != 0).all()


def test_gradient_goes_through_chroma_averaging(photograph):
    """The blue of a pixel moves the blue of its neighbours at 4:2:0, though not at 4:4:4 and no rounding."""

    def reach(subsampling):
        levels = photograph("rocket", 32, 32).float().requires_grad_()
        jpeg.differentiable(levels, subsampling=subsampling)[0, 2, 16, 16].backward()
        return int((levels.grad[0, 2].abs() > 1e-3).sum())

    assert reach("4:4:4") == 1
    assert reach("4:2:0") > 4


def test_white_and_black_keep_their_gradient():
    levels = torch.tensor([0.0, 255.0]).view(2, 1, 1, 1).expand(2, 3, 16, 16).clone().requires_grad_()
    jpeg.differentiable(levels).sum().backward()
    assert torch.allclose(levels.grad, torch.ones_like(levels), atol=1e-3)


def test_what_is_clamped_has_no_gradient(picture):
    """Averaging saturated colours pushes some samples out of range, where no small change brings them back."""
    levels = picture("saturated", 16, 16).double().requires_grad_()
    stand_in = smooth(levels, torch.tensor([75]), "4:2:0", "identity")
    clamped = (stand_in == -0.5) | (stand_in == 255.5)
    assert clamped.any()
    assert not clamped.all()
    assert stand_in.min() == -0.5
    assert stand_in.max() == 255.5
    jpeg.differentiable(levels).backward(clamped.double())
    assert (levels.grad == 0).all()


def test_each_image_has_its_own_gradient(photograph):
    images = torch.cat([photograph(name, 33, 40) for name in ("coffee", "rocket")]).float()
    quality = torch.tensor([30, 80])
    together = images.clone().requires_grad_()
    jpeg.differentiable(together, quality=quality, rounding="cubic").square().sum().backward()
    for index in range(2):
        alone = images[index : index + 1].clone().requires_grad_()
        jpeg.differentiable(alone, quality=int(quality[index]), rounding="cubic").square().sum().backward()
        assert torch.allclose(together.grad[index], alone.grad[0], rtol=1e-4, atol=1e-2)


def test_straight_through_is_the_identity_backward(photograph):
    levels = photograph("coffee", 30, 41).float().requires_grad_()
    cotangent = torch.randn(levels.shape, generator=torch.Generator().manual_seed(4))
    jpeg.differentiable(levels, gradient="straight-through").backward(cotangent)
    assert torch.equal(levels.grad, cotangent)


def test_autocast_changes_no_gradient(photograph):
    def gradient():
        levels = photograph("coffee", 40, 40).float().requires_grad_()
        jpeg.differentiable(levels, quality=50).square().sum().backward()
        return levels.grad

    plain = gradient()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gradient(), plain)


def test_result_may_be_changed_in_place(photograph):
    levels = photograph("coffee", 24, 24).float().requires_grad_()
    jpeg.differentiable(levels).div_(255).sum().backward()
    assert levels.grad.abs().sum() > 0


def test_empty_batch():
    levels = torch.empty(0, 3, 8, 8, requires_grad=True)
    assert jpeg.differentiable(levels).shape == (0, 3, 8, 8)
