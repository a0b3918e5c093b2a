"""All mutations, by name."""

from __future__ import annotations

from robustcheck.mutation import baselines, gradients, image_sets, networks, pixels, views
from robustcheck.mutation.mutation import Mutation

MUTATIONS: dict[str, Mutation] = {
    mutation.name: mutation
    for module in (pixels, networks, gradients, image_sets, views, baselines)
    for mutation in module.MUTATIONS
}
