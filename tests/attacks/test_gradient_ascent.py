import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck.attacks import Ball, gradient_ascent


def images(seed=0, count=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 6, 5), generator=generator, dtype=torch.uint8)


def ball_of(epsilon, norm="inf", seed=0, count=3):
    return Ball(images(seed, count), torch.full((count,), float(epsilon)), norm)


def size(found, clean, norm):
    change = (found.double() - clean.double()).flatten(1)
    return change.abs().amax(1) if norm == "inf" else change.norm(dim=1)


@settings(deadline=None)
@given(
    epsilon=st.integers(1, 255),
    norm=st.sampled_from(["inf", "2"]),
    steps=st.integers(1, 5),
    momentum=st.sampled_from([0.0, 0.9]),
    start=st.booleans(),
    seed=st.integers(0, 99),
)
def test_result_is_eight_bits_inside_the_ball_wherever_the_gradient_points(
    epsilon, norm, steps, momentum, start, seed
):
    generator = torch.Generator().manual_seed(seed)
    ball = ball_of(epsilon, norm, seed)
    found = gradient_ascent(
        ball,
        lambda pixels: torch.randn(pixels.shape, generator=generator),
        steps=steps,
        step=torch.full((3,), 0.7 * epsilon),
        start=ball.random([seed, seed + 1, seed + 2]) if start else None,
        momentum=momentum,
    )
    assert found.dtype == torch.uint8
    assert (size(found, ball.centre, norm) <= epsilon + 1e-4).all()


@given(epsilon=st.integers(30, 255), seed=st.integers(0, 99))
def test_l2_ball_is_used_up_in_spite_of_rounding(epsilon, seed):
    ball = Ball(torch.full((1, 3, 16, 16), 128, dtype=torch.uint8), torch.tensor([float(epsilon)]), "2")
    gradient = torch.randn((1, 3, 16, 16), generator=torch.Generator().manual_seed(seed))
    found = gradient_ascent(ball, lambda _: gradient, steps=1, step=ball.epsilon)
    assert 0.9 * epsilon < float(size(found, ball.centre, "2")) <= epsilon + 1e-4


def test_step_goes_straight_up_and_comes_back_to_the_nearest_point_inside():
    ball = Ball(torch.full((1, 3, 2, 2), 100, dtype=torch.uint8), torch.tensor([6.0]), "2")
    gradient = torch.zeros(1, 3, 2, 2)
    gradient[0, 0, 0, 0], gradient[0, 1, 1, 1] = 3.0, -4.0
    found = gradient_ascent(ball, lambda _: gradient, steps=4, step=torch.tensor([5.0])).int() - 100
    # 20 levels along (0.6, -0.8), cut to 6: (3.6, -4.8). Rounded to (4, -5) that is 6.4 long; (3, -5) fits.
    assert (found[0, 0, 0, 0], found[0, 1, 1, 1]) == (3, -5)
    assert found.abs().sum() == 8


def test_fractions_of_a_level_add_up_before_they_are_rounded():
    ball = ball_of(3)
    found = gradient_ascent(ball, torch.ones_like, steps=5, step=torch.full((3,), 0.4))
    assert torch.equal(found.int(), (ball.centre.int() + 2).clamp(max=255))


def test_first_direction_takes_the_place_of_the_first_gradient():
    ball, asked = ball_of(9), []

    def gradient(pixels):
        asked.append(pixels.clone())
        return torch.ones_like(pixels)

    first = -torch.ones(3, 3, 6, 5, dtype=torch.int8)
    found = gradient_ascent(ball, gradient, steps=3, step=torch.ones(3), first=first)
    assert len(asked) == 2
    assert torch.equal(asked[0], (ball.centre.float() - 1).clamp(min=0))
    moved = ball.centre.int()
    for sign in (-1, 1, 1):
        moved = (moved + sign).clamp(0, 255)
    assert torch.equal(found.int(), moved)


def test_momentum_carries_on_where_the_gradient_turns():
    clean = torch.full((1, 3, 2, 2), 100, dtype=torch.uint8)
    turns = iter([1.0, -0.5])  # of which only the direction counts: the sizes are evened out

    def gradient(pixels):
        return torch.full_like(pixels, next(turns))

    ball = Ball(clean, torch.tensor([9.0]))
    assert (gradient_ascent(ball, gradient, steps=2, step=torch.ones(1)) == 100).all()
    turns = iter([1.0, -0.5])
    stays = gradient_ascent(ball, gradient, steps=2, step=torch.ones(1), momentum=1.0)
    assert (stays == 101).all()  # +1, then 1 - 1 = 0 on top of it


def test_each_row_has_an_epsilon_and_a_step_of_its_own():
    clean = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    ball = Ball(clean, torch.tensor([2.0, 50.0]))
    found = gradient_ascent(ball, torch.ones_like, steps=10, step=torch.tensor([1.0, 3.0]))
    assert (found[0] == 102).all()
    assert (found[1] == 130).all()


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_random_start_is_each_row_s_own_and_fills_the_ball(norm):
    ball = Ball(torch.full((3, 3, 32, 32), 128, dtype=torch.uint8), torch.full((3,), 10.0), norm)
    start = ball.random([1, 2, 1])
    assert torch.equal(start[0], start[2])
    assert not torch.equal(start[0], start[1])
    alone = Ball(ball.centre[:1], ball.epsilon[:1], norm)
    assert torch.equal(alone.random([2])[0], start[1])
    sizes = size(start, ball.centre, norm)
    assert (sizes <= 10.001).all()
    assert (sizes > 9.8).all()
    if norm == "inf":
        spread = (start[0] - 128).flatten().numpy()
        assert abs(np.mean(spread)) < 0.5
        assert abs(np.std(spread) - 10 / 3**0.5) < 0.2
