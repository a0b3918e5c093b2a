import torch
from hypothesis import given
from hypothesis import strategies as st

from robustcheck.attacks.seeds import image_seeds
from robustcheck.transforms.jpeg_noise import permuted_noise
from robustcheck.transforms.noise import random_signs


def pair(seed, low=0, high=256):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(low, high, (2, 3, 8, 9), generator=generator, dtype=torch.uint8) for _ in range(2))


@given(st.integers(0, 2**63), st.integers(0, 99))
def test_permuted_noise_has_the_entries_of_the_change(seed, images_seed):
    images, changed = pair(images_seed, 85, 170)  # so that nothing is cut at 0 or 255
    noisy = permuted_noise(images, changed, seeds=[seed, seed + 1])
    for before, after, noise in zip(images.int(), changed.int(), noisy.int(), strict=True):
        assert torch.equal((noise - before).flatten().sort().values, (after - before).flatten().sort().values)
        assert not torch.equal(noise, after)


def test_permuted_noise_is_another_for_every_seed():
    images = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8)
    changed = (images + torch.arange(192).view(3, 8, 8) // 10).to(torch.uint8)
    one, other = permuted_noise(images, changed, seeds=[3, 4])
    assert not torch.equal(one, other)
    assert torch.equal(permuted_noise(images, changed, seeds=[3, 3])[1], one)


def test_permuted_noise_is_cut_at_the_range():
    images = torch.full((1, 3, 8, 8), 250, dtype=torch.uint8)
    images[:, :, :4] = 0
    noisy = permuted_noise(images, 250 - images, seeds=[3])
    assert set(noisy.unique().tolist()) <= {0, 250, 255}


@given(st.integers(0, 2**63), st.sampled_from([1, 5, 10]))
def test_random_signs_are_balanced_and_of_that_size(seed, epsilon):
    images = torch.full((2, 3, 33, 31), 128, dtype=torch.uint8)
    change = random_signs(images, epsilon=epsilon, seeds=[seed, seed + 1]).int() - 128
    assert set(change.unique().tolist()) == {-epsilon, epsilon}
    assert abs(change.float().mean()) < epsilon * 0.1
    assert not torch.equal(change[0], change[1])


def test_noise_of_an_image_does_not_depend_on_its_batch():
    images, changed = pair(0)
    seeds = image_seeds(0, ["a", "b"], "Noise_1")
    for noise in (
        lambda rows: random_signs(images[rows], epsilon=3, seeds=[seeds[row] for row in rows]),
        lambda rows: permuted_noise(images[rows], changed[rows], seeds=[seeds[row] for row in rows]),
    ):
        assert torch.equal(noise([0, 1])[1:], noise([1]))


def test_seeds_differ_by_seed_image_and_view():
    seeds = {
        image_seeds(seed, [image], view)[0]
        for seed in (0, 1)
        for image in ("a", "b")
        for view in ("Noise_1", "Noise_2")
    }
    assert len(seeds) == 8
    assert image_seeds(0, ["a"], "Noise_1") == image_seeds(0, ["a"], "Noise_1")
