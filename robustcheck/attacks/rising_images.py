"""On which images of a batch attacks had not succeeded and were still rising when they stopped."""

from __future__ import annotations

import torch
from torch import Tensor

from robustcheck.notation import View


class RisingImages:
    """What the attacks of one batch note of its images, by view; it stays on the device."""

    def __init__(self) -> None:
        self._noted: dict[View, Tensor] = {}

    def note(self, view: View, rising: Tensor) -> None:
        """Take note of a view's images: bool (n,), or float64 (n,) with NaN for those of which it is not known."""
        self._noted[view] = rising.double()

    def of(self, view: View, like: Tensor) -> Tensor:
        """Return what was noted of a view's images, or of those that they were transformed from: float64 as `like`, (n,).

        0 where there was no attack, NaN where the last one noted nothing.
        """
        if view in self._noted:
            return self._noted[view]
        if view.sources and view.declared.kind == "transform":
            return self.of(view.source, like)
        return torch.full_like(like, torch.nan if view.sources else 0.0, dtype=torch.float64)
