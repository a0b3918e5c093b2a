"""Images: files and arrays as a finite, ordered set of uint8 pixels at a classifier's input size."""

from __future__ import annotations

from robustcheck.images.class_match import match_classes
from robustcheck.images.image_set import Batch, ImageSet
from robustcheck.images.registry import as_image_set, open_images
from robustcheck.images.sources.objects import image_set_of

__all__ = ["Batch", "ImageSet", "as_image_set", "image_set_of", "match_classes", "open_images"]
