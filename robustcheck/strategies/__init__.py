"""Hypothesis strategies: images, views and perturbations, for a repository's own property tests.

    from hypothesis import given
    from robustcheck.strategies import images, perturbations

    @given(images(size=16).flatmap(lambda batch: perturbations(batch, epsilon=2)))
    def test_preprocessing_gives_finite_numbers(batch):
        assert torch.isfinite(preprocess(batch)).all()

A failing example shrinks to the simplest image that still fails: flat, then one pixel, then a block, as dark as may be.
It is printed as an expression that can be pasted: `torch.full(...)`, `torch.tensor(...)`, `parse("JPG(Adv_1)")`.
"""

from __future__ import annotations

from robustcheck.errors import RobustcheckError

try:
    import hypothesis  # noqa: F401 - the modules below need it
except ModuleNotFoundError:
    raise RobustcheckError(
        "robustcheck.strategies needs Hypothesis: pip install 'pytest-robustcheck[hypothesis]'"
    ) from None

from robustcheck.strategies.images import images
from robustcheck.strategies.literals import print_as_literals
from robustcheck.strategies.perturbations import epsilons, perturbations
from robustcheck.strategies.views import views

__all__ = ["epsilons", "images", "perturbations", "views"]

print_as_literals()
