"""Images: files and arrays as a finite, ordered set of uint8 pixels at a classifier's input size."""

from __future__ import annotations

from robustcheck.images.classes import match_classes
from robustcheck.images.given import image_set_of
from robustcheck.images.image_set import Batch, ImageSet
from robustcheck.images.opening import open_images
from robustcheck.images.pixel_cache import PixelCache

__all__ = ["Batch", "ImageSet", "PixelCache", "image_set_of", "match_classes", "open_images"]
