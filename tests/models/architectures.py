"""Logits of many architectures against plain torch, as they are and folded: `python -m tests.models.architectures [MINUTES]`.

Networks of torchvision and timm by name, with random weights (statistics of batch normalisation, too), two images of
noise, at 64 pixels where the architecture takes them. It prints a line for each, and how many run by which layout.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter

import timm
import torch
import torchvision
from torch import nn

from robustcheck.models import Classifier

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGEST = 40e6
"""Parameters: larger ones take too long."""


def names():
    """Yield a library and a name: of timm's, one in some of each file of its architectures."""
    for name in torchvision.models.list_models(module=torchvision.models):
        yield "torchvision", name
    seen = Counter()
    for name in timm.list_models():
        module = timm.models.model_entrypoint(name).__module__
        seen[module] += 1
        if seen[module] % 6 == 1 and seen[module] < 20:
            yield "timm", name


def built(library, name):
    if library == "timm":
        return timm.create_model(name, pretrained=False)
    return torchvision.models.get_model(name, weights=None)


def with_statistics(net):
    """Statistics and weights of batch normalisation as a trained network might have them."""
    generator = torch.Generator().manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_var is not None:
            size = layer.running_var.shape
            layer.running_mean.copy_(0.1 * torch.randn(size, generator=generator))
            layer.running_var.copy_(torch.rand(size, generator=generator) + 0.5)
            if layer.weight is not None:
                layer.weight.data.copy_(torch.rand(size, generator=generator) + 0.5)
    return net.eval()


def sizes(net):
    yield from (64, 96)
    yield (getattr(net, "pretrained_cfg", None) or {}).get("input_size", (3, 224, 224))[-1]
    yield 224


def plain(net, pixels):
    """Return plain torch's logits; None where it does not take images of that size."""
    images = (
        pixels.float().div(255).sub(torch.tensor(MEAN).view(3, 1, 1)).div(torch.tensor(STD).view(3, 1, 1))
    )
    try:
        with torch.no_grad():
            found = net(images)
    except Exception:
        return None
    return found if isinstance(found, torch.Tensor) and found.ndim == 2 else None


def examine(net):
    """Return the size, the layout, whether it is folded, and how far logits are from plain torch's, in shares."""
    for size in sizes(net):
        pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
        expected = plain(net, pixels)
        if expected is None or not expected.isfinite().all():
            continue
        before = {key: (value.clone(), value.stride()) for key, value in net.state_dict().items()}
        classifier = Classifier(net, mean=MEAN, std=STD, input_size=size, device="cpu")
        others = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8)
        folded = classifier.folded(lambda batches=others: batches.split(2))
        largest = expected.abs().max()
        apart = [float((each(pixels) - expected).abs().max() / largest) for each in (classifier, folded)]
        after = net.state_dict()
        same = all(
            value.equal(after[key]) and stride == after[key].stride()
            for key, (value, stride) in before.items()
        )
        has_norms = any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())
        return size, classifier.channels_last, folded.is_folded, has_norms, *apart, same
    return None


def main(minutes):
    end = time.monotonic() + 60 * minutes
    counts, worst = Counter(), [0.0, 0.0]
    for library, name in names():
        if time.monotonic() > end:
            break
        try:
            torch.manual_seed(0)
            net = built(library, name)
            if sum(parameter.numel() for parameter in net.parameters()) > LARGEST:
                counts["too large"] += 1
                continue
            found = examine(with_statistics(net))
        except Exception as error:
            print(f"{library}:{name} {type(error).__name__}: {str(error)[:150]}", flush=True)
            counts["error"] += 1
            continue
        if found is None:
            counts["not run by plain torch"] += 1
            continue
        size, channels_last, is_folded, has_norms, as_is, folded, same = found
        worst = [max(worst[0], as_is), max(worst[1], folded)]
        counts["channels_last" if channels_last else "contiguous"] += 1
        counts[("folded" if is_folded else "not folded") if has_norms else "no batch norm"] += 1
        counts["changed"] += not same
        counts["further than 1e-5"] += max(as_is, folded) > 1e-5
        print(
            f"{library}:{name} {size} {'cl' if channels_last else 'contiguous'} "
            f"{'folded' if is_folded else ('as it is' if has_norms else 'no norms')} {as_is:.1e} {folded:.1e}"
            f"{'' if same else ' CHANGED'}",
            flush=True,
        )
    print(dict(counts), "largest change", worst)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 15)
