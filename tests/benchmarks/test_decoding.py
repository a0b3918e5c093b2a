"""From files to pixels at the model's input size: an image set against a plain loop over torchvision's transforms."""

import numpy as np
import pytest
from PIL import Image
from skimage import data
from torchvision.transforms import v2

from robustcheck import open_images

COUNT = 32


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """JPEG files of some 400 by 600 pixels, in two folders of a class each."""
    folder = tmp_path_factory.mktemp("photographs")
    sources = [getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    for index in range(COUNT):
        path = folder / "ab"[index % 2] / f"{index:02}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.roll(sources[index % 4], 7 * index, axis=1)).save(path, quality=90)
    return folder


def test_decoding_against_a_torchvision_loop(robustcheck_benchmark, robustness, photographs):
    rule = robustness.classifier.preprocessing
    images = open_images(str(photographs), size=rule)
    resize = rule.resize if isinstance(rule.resize, int) else list(rule.resize)
    transform = v2.Compose(
        [
            v2.Resize(resize, interpolation=v2.InterpolationMode(rule.interpolation)),
            v2.CenterCrop(list(rule.input_size)),
            v2.PILToTensor(),
        ]
    )
    paths = sorted(photographs.rglob("*.jpg"))

    def loop():
        return [transform(Image.open(path).convert("RGB")) for path in paths]

    robustcheck_benchmark.ratio(lambda: [batch.pixels for batch in images.batches(8)], loop, images=COUNT)
