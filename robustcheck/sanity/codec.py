"""Whether JPEG here is the JPEG that the report names."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from robustcheck import jpeg
from robustcheck.sanity.check import Failed
from robustcheck.sanity.subject import Subject

_QUALITIES = (75, 25)


def codec_keeps_its_contract(subject: Subject) -> str:
    """Recompression gives to the bit what Pillow gives at the same quality and 4:2:0.

    Another codec is another defence (nvJPEG's 4:4:4, a differentiable approximation, another library version): its
    numbers do not compare with the paper's, nor with those of a user who stores JPEG files.
    """
    codec, differing = subject.evaluation.config.codec, 0
    for quality in _QUALITIES:
        ours = jpeg.roundtrip(subject.few, quality=quality, codec=codec).cpu()
        differing += int((ours != _by_pillow(subject.few.cpu(), quality)).sum())
    if differing:
        raise Failed(f"{differing} samples differ from Pillow's")
    return f"no sample of {len(subject.few)} images differs from Pillow's; {jpeg.codec_info(codec)}"


def _by_pillow(images: torch.Tensor, quality: int) -> torch.Tensor:
    decoded = []
    for image in images.permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        decoded.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)


CHECKS = (codec_keeps_its_contract,)
