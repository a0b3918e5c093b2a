"""What the package is measured against: other JPEG codecs, and scripts of the same study as other libraries have it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

QUALITY = 75
EPSILONS = (1, 5, 10)


def by_pillow(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    file.seek(0)
    return np.asarray(Image.open(file))


def interleaved_pool(arrays: Sequence, threads: int | None = None) -> list:
    """Pillow in a pool of threads, on arrays (H, W, 3); by default as many threads as torch has."""
    with ThreadPoolExecutor(threads or torch.get_num_threads()) as pool:
        return list(pool.map(by_pillow, arrays))


def pillow_pool(images: Tensor) -> Tensor:
    arrays = interleaved_pool([image.permute(1, 2, 0).numpy() for image in images])
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torchvision_io(images: Tensor) -> Tensor:
    from torchvision.io import decode_jpeg, encode_jpeg

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return torch.stack(list(pool.map(lambda image: decode_jpeg(encode_jpeg(image, QUALITY)), images)))


def torchvision_transform(images: Tensor) -> Tensor:
    from torchvision.transforms import v2

    transform = v2.JPEG((QUALITY, QUALITY))
    return torch.stack([transform(image) for image in images])


def kornia(images: Tensor) -> Tensor:
    from kornia import enhance

    quality = torch.full((len(images),), float(QUALITY), device=images.device)
    return (enhance.jpeg_codec_differentiable(images.float() / 255, quality) * 255).round().to(torch.uint8)


def nvjpeg(images: Tensor) -> Tensor:
    """torchvision's codecs on the images' device: nvJPEG on CUDA, libjpeg-turbo on the CPU."""
    from torchvision.io import decode_jpeg, encode_jpeg

    encoded = encode_jpeg(list(images), QUALITY)
    on_host = torch.cat(encoded).cpu().split([len(each) for each in encoded])  # where decoding takes it from
    return torch.stack(decode_jpeg(list(on_host), device=images.device))


class Normalised(nn.Module):
    def __init__(self, net, preprocessing):
        super().__init__()
        self.net = net
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(preprocessing, name)).view(3, 1, 1))

    def forward(self, images):
        return self.net((images - self.mean) / self.std)


def recompressed(images):
    decoded = []
    for image in (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
        decoded.append(np.asarray(Image.open(file)))
    return (torch.tensor(np.stack(decoded)).permute(0, 3, 1, 2) / 255).to(images.device)


def classify_all(model, adversarials):
    """What all scripts do with adversarial images: recompress, make noise of that size, classify."""
    views = [*adversarials, *map(recompressed, adversarials)]
    change = views[3] - views[0]
    noise = change.flatten(1)[:, torch.randperm(change[0].numel(), device=change.device)].view_as(change)
    views.append((views[0] + noise).clamp(0, 1))
    with torch.no_grad():
        return [model(view).softmax(1).cpu() for view in views]


Script = Callable[[nn.Module, Tensor, int], None]
"""The eight views of uint8 images through a model of images in [0, 1], so many at once."""


def torchattacks_script(model: nn.Module, pixels: Tensor, batch_size: int) -> None:
    """The eight views as torchattacks' documentation would have them."""
    import torchattacks

    for images in (pixels / 255).split(batch_size):
        with torch.no_grad():
            labels = model(images).argmax(1)
        classify_all(model, [torchattacks.FGSM(model, eps=e / 255)(images, labels) for e in EPSILONS])


def plain_script(model: nn.Module, pixels: Tensor, batch_size: int) -> None:
    """The eight views in plain PyTorch, an attack at a time, as torchattacks does it."""
    for images in (pixels / 255).split(batch_size):
        with torch.no_grad():
            labels = model(images).argmax(1)
        adversarials = []
        for epsilon in EPSILONS:
            attacked = images.clone().requires_grad_()
            loss = nn.functional.cross_entropy(model(attacked), labels)
            (gradient,) = torch.autograd.grad(loss, attacked)
            adversarials.append((images + epsilon / 255 * gradient.sign()).clamp(0, 1).detach())
        classify_all(model, adversarials)


def study_script() -> tuple[str, Script]:
    """The script by torchattacks where it is installed, else in plain PyTorch, and what to call it."""
    try:
        import torchattacks  # noqa: F401
    except ImportError:
        return "plain PyTorch script", plain_script
    return "torchattacks script", torchattacks_script
