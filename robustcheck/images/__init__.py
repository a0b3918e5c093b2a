"""Images: files and arrays as a finite, ordered set of uint8 pixels at a classifier's input size."""

from __future__ import annotations

from robustcheck.images.image_set import Batch, ImageSet
from robustcheck.images.opening import open_images

__all__ = ["Batch", "ImageSet", "open_images"]
