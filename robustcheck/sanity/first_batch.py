"""What one batch on its way shows of the model, for next to nothing: told in every evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from robustcheck.evaluation.batch_state import BatchRun
from robustcheck.notation import X
from robustcheck.sanity.gradients import MOST_ZEROS, zero_share
from robustcheck.sanity.logits import AGREE, difference, looks_like_probabilities


def doubts(run: BatchRun) -> Iterator[str]:
    """Yield what is wrong with the logits or gradients of a batch; one image is classified a second time, alone."""
    if X not in run.logits:
        return
    logits = run.logits[X]
    if not bool(logits.isfinite().all()):
        return  # an error of its own
    if looks_like_probabilities(logits):
        yield (
            "it returns probabilities, not logits (every row lies in 0..1 and adds up to 1): p(top) is that of a "
            "softmax on top of a softmax, and gradients vanish; leave out the model's own softmax"
        )
    alone = run.logits_of(run.images[X][:1])
    if (apart := difference(logits[:1], alone)) > AGREE:
        yield (
            f"an image classified a second time, alone, gave logits that differ by {apart:.2g} of their spread: the "
            "model draws at random, or an image depends on its batch; one evaluation says little of it"
        )
    signs = run.clean_direction
    if signs is not None and (zeros := zero_share(signs)) > MOST_ZEROS:
        yield (
            f"{zeros:.0%} of the gradient of an image is exactly zero: attacks have little to follow, and whatever "
            "withstands them has shown nothing (saturated outputs? rounding or no_grad inside?)"
        )
