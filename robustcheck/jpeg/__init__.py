"""JPEG round trips of tensor batches: Pillow's pixels to the bit, on every device, with a gradient.

>>> import torch
>>> from robustcheck import jpeg
>>> photo = torch.randint(0, 256, (2, 3, 64, 48), dtype=torch.uint8)
>>> bool((jpeg.roundtrip(photo, codec="tensor") == jpeg.roundtrip(photo, codec="pillow")).all())
True
"""

from __future__ import annotations

from robustcheck.jpeg.codec_info import CodecInfo, codec_info
from robustcheck.jpeg.differentiable import differentiable
from robustcheck.jpeg.roundtrip import roundtrip

__all__ = ["CodecInfo", "codec_info", "differentiable", "roundtrip"]
