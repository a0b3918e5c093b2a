"""The size that the study has: 50,000 images through a ResNet-50. For a CUDA device; elsewhere it is skipped.

The weights are random, and images are drawn from a few in memory, as from a cache of decoded pixels: neither changes
what there is to compute.
"""

import pytest
import torch

from robustcheck import Classifier, ImageSet, evaluate
from robustcheck.benchmark.fixture import STUDY

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
COUNT = 50_000


@pytest.fixture(scope="module")
def robustcheck_model():
    from torchvision.models import resnet50

    torch.manual_seed(0)
    return Classifier(
        resnet50().eval(),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        input_size=224,
        name="resnet50, random weights",
    )


@pytest.fixture(scope="module")
def robustcheck_images():
    few = torch.randint(256, (512, 3, 224, 224), dtype=torch.uint8).numpy()
    return ImageSet(
        lambda i: few[i % len(few)], names=[f"image {i}" for i in range(COUNT)], name="from memory"
    )


@pytest.mark.filterwarnings("ignore::robustcheck.RobustnessWarning")  # random weights know nothing
class TestResNet50:
    @pytest.mark.parametrize("count", [1000, COUNT])
    def test_table_whose_memory_does_not_grow(self, robustcheck_benchmark, count):
        robustcheck_benchmark.table(images=count, rounds=1)

    def test_against_torchattacks(self, robustcheck_benchmark, robustness, torchattacks_script, pixels):
        images = ImageSet.from_arrays(pixels)
        robustcheck_benchmark.ratio(
            lambda: evaluate(robustness.classifier, images, STUDY),
            lambda: torchattacks_script(64),
            images=len(pixels),
        )

    def test_against_the_model_calls_alone(self, robustcheck_benchmark, robustness, model_calls, pixels):
        images = ImageSet.from_arrays(pixels)
        robustcheck_benchmark.ratio(
            lambda: evaluate(robustness.classifier, images, STUDY), model_calls, images=len(pixels)
        )
