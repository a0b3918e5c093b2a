"""The codecs alone, and `auto` against its peers in turns, on batches of photographs.

On the CPU each takes and gives uint8 (N, 3, H, W), Pillow's pool and torchvision.io with as many threads as torch has;
`pillow pool, interleaved` spares Pillow that and takes and gives (H, W, 3) arrays. On a CUDA device, where the run
has one, batches are there.
"""

from functools import partial

import numpy as np
import pytest
import torch
from skimage import data

from robustcheck import jpeg
from robustcheck.models.device import resolve_device
from tests.gpu import peers
from tests.gpu.peers import QUALITY

SIZES = {"cifar": (256, 32), "imagenet": (32, 224)}  # images, side
# torchvision.io warns that it will go; it is a peer here, and warnings are errors elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def device(pytestconfig):
    return resolve_device(pytestconfig.getoption("robustcheck_device") or "auto")


@pytest.fixture(params=SIZES)
def images(request, device):
    """Cuts of four photographs, uint8 (n, 3, side, side)."""
    count, side = SIZES[request.param]
    sources = [getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    cuts = []
    for index in range(count * (8 if device.type == "cuda" else 1)):
        pixels = sources[index % 4]
        top, left = (index * 7) % (pixels.shape[0] - side), (index * 11) % (pixels.shape[1] - side)
        cuts.append(pixels[top : top + side, left : left + side])
    return torch.from_numpy(np.stack(cuts)).permute(0, 3, 1, 2).contiguous().to(device)


PEERS = {
    "cpu": {
        "pillow pool, interleaved": peers.interleaved_pool,
        "pillow pool": peers.pillow_pool,
        "torchvision.io": peers.torchvision_io,
        "torchvision v2.JPEG": peers.torchvision_transform,
        "kornia": peers.kornia,
    },
    "cuda": {"nvJPEG": peers.nvjpeg, "kornia": peers.kornia},
}


def gradient(images):
    levels = images.float().requires_grad_()
    jpeg.differentiable(levels, quality=QUALITY).sum().backward()
    return levels.grad


@pytest.mark.parametrize("codec", ["pillow", "tensor", "triton"])
def test_codec(robustcheck_benchmark, images, codec):
    if codec == "triton" and not images.is_cuda:
        pytest.skip("Triton needs a CUDA device")
    call = partial(jpeg.roundtrip, images, quality=QUALITY, codec=codec)
    found = robustcheck_benchmark(call, images=len(images))
    assert torch.equal(found.cpu(), peers.pillow_pool(images.cpu()))


def test_there_and_the_gradient_back(robustcheck_benchmark, images):
    robustcheck_benchmark(lambda: gradient(images), images=len(images))


@pytest.mark.parametrize(
    "peer", [(kind, name) for kind, peers in PEERS.items() for name in peers], ids="-".join
)
def test_against(robustcheck_benchmark, images, peer):
    kind, name = peer
    if kind != images.device.type:
        pytest.skip(f"on {kind} alone")
    if name == "kornia":
        pytest.importorskip("kornia", exc_type=ImportError)
    theirs = PEERS[kind][name]
    given = (
        [*images.permute(0, 2, 3, 1).contiguous().numpy()] if name == "pillow pool, interleaved" else images
    )
    found = theirs(given)
    if name != "pillow pool, interleaved":
        exact = jpeg.roundtrip(images, quality=QUALITY)
        robustcheck_benchmark.note(f"{(found != exact).double().mean():.2%} of its samples are not Pillow's")
    robustcheck_benchmark.ratio(
        lambda: jpeg.roundtrip(images, quality=QUALITY), lambda: theirs(given), images=len(images)
    )
