"""Logits of many architectures against plain torch, as they are and folded: `python -m tests.models.architectures [COUNT]`.

Networks of torchvision and timm by name, in turns, with random weights (statistics of batch normalisation, too), two
images of noise, at 64 pixels where the architecture takes them. It prints a line for each of COUNT (150), and a table of
how many run by which layout, with and without folding.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from itertools import chain, zip_longest

import timm
import torch
import torchvision
from torch import nn

from robustcheck.models import Classifier

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGEST = 40e6
"""Parameters: larger ones take too long."""


def names():
    """Yield a library and a name, in turns: of timm's, one in six of each file of its architectures."""
    theirs = [("torchvision", name) for name in torchvision.models.list_models(module=torchvision.models)]
    others, seen = [], Counter()
    for name in timm.list_models():
        module = timm.models.model_entrypoint(name).__module__
        seen[module] += 1
        if seen[module] % 6 == 1 and seen[module] < 20:
            others.append(("timm", name))
    yield from filter(None, chain.from_iterable(zip_longest(theirs, others)))


def is_too_large(library, name):
    if library == "torchvision":
        return torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"] > LARGEST
    with torch.device("meta"):  # nothing is allocated
        return sum(each.numel() for each in timm.create_model(name).parameters()) > LARGEST


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


def rows(count):
    """Examine so many networks, and yield what was found of each; print why others are left out."""
    for library, name in names():
        if count == 0:
            return
        try:
            if is_too_large(library, name):
                continue
            torch.manual_seed(0)
            found = examine(with_statistics(built(library, name)))
        except Exception as error:
            print(f"{library}:{name} {type(error).__name__}: {str(error)[:150]}", flush=True)
            continue
        if found is None:
            print(f"{library}:{name} is not run by plain torch on images alone", flush=True)
            continue
        count -= 1
        yield f"{library}:{name}", *found


def main(count):
    table, furthest, changed = Counter(), {}, 0
    for name, size, channels_last, is_folded, has_norms, as_is, folded, same in rows(count):
        layout = "channels_last" if channels_last else "contiguous"
        how = "folded" if is_folded else "as it is" if has_norms else "no batch norm"
        table[layout, how] += 1
        furthest[layout, how] = max(furthest.get((layout, how), (0.0, "")), (max(as_is, folded), name))
        changed += not same
        print(
            f"{name} {size} {layout} {how} {as_is:.1e} {folded:.1e}{'' if same else ' CHANGED'}", flush=True
        )
    print("layout of images, batch norm: networks, furthest from plain torch as a share of the largest logit")
    for (layout, how), networks in sorted(table.items()):
        apart, name = furthest[layout, how]
        print(f"{layout:14} {how:14} {networks:4} {apart:.1e} {name}")
    print(f"{sum(table.values())} networks; the state dict of {changed} was changed")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 150)
