"""JPEG round trips of tensor batches: Pillow's pixels to the bit, on every device, with a gradient.

>>> import torch
>>> from robustcheck import jpeg
>>> photo = torch.randint(0, 256, (2, 3, 64, 48), dtype=torch.uint8)
>>> bool((jpeg.roundtrip(photo, codec="tensor") == jpeg.roundtrip(photo, codec="pillow")).all())
True

Importing it loads Pillow and operators of torchvision and runs the check of their pixels, so that the first round
trip on the CPU takes no longer than the next. On a CUDA device the first call of a process starts the device and
compiles kernels, which takes seconds: call once before anything that has a deadline, such as a property test.
"""

from __future__ import annotations

from robustcheck.jpeg.codec_info import CodecInfo, codec_info
from robustcheck.jpeg.differentiable import differentiable
from robustcheck.jpeg.roundtrip import roundtrip
from robustcheck.jpeg.self_test import warm_up

__all__ = ["CodecInfo", "codec_info", "differentiable", "roundtrip"]

warm_up()
