"""What a worker makes its evaluation of: classifier, images, the repository's own steps and options, as bytes.

The classifier is written as `torch.save` does, by cloudpickle, so that it comes to the worker's device. Code that is
no installed package (a `conftest.py`, modules beside it) goes with it, since a worker could not import it. A network
that can't be pickled is loaded there by its spec.

Images that come from files go as paths; others, and those too by choice, are decoded here and sent shard by shard.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.engine import Evaluation
from robustcheck.evaluation.executor import Workload
from robustcheck.images import ImageSet
from robustcheck.images.decoding import Pixels
from robustcheck.models import Classifier
from robustcheck.notation import STEPS

if TYPE_CHECKING:
    from robustcheck.options.workers import WorkerOptions

Load = Callable[[], Classifier]
_INSTALLED = {"site-packages", "dist-packages", f"python{sys.version_info[0]}.{sys.version_info[1]}"}


class Sent:
    """Pixels of the shard that a worker has at the moment."""

    def __init__(self) -> None:
        self.pixels: dict[int, Pixels] = {}

    def __call__(self, position: int) -> Pixels:
        """The image at a position."""
        return self.pixels[position]


@dataclass(frozen=True)
class Shipment:
    """An evaluation on its way."""

    classifier: bytes | Load
    rest: bytes
    sends_pixels: bool


def pack(work: Workload, options: WorkerOptions, pickler: ModuleType, load: Load | None) -> Shipment:
    """Return what a worker makes an evaluation of; `pickler` is cloudpickle, `load` loads the classifier by its spec.

    Raises `RobustcheckError` for a classifier that can't be had elsewhere.
    """
    with _by_value(pickler):
        classifier: bytes | Load
        try:
            classifier = saved(work.runner.classifier, pickler)
        except Exception as error:  # noqa: BLE001 - pickling fails in every way there is
            if load is None:
                raise RobustcheckError(
                    f"{work.runner.classifier.name} can't be sent to workers ({type(error).__name__}: {error}): make it of "
                    "what can be pickled, or name it by a spec, --robustcheck-model=package.module:callable"
                ) from None
            classifier = load
        images, sent = _images(work.images, options)
        steps = {name: step for name, step in STEPS.items() if step.function is not None}
        config = replace(work.runner.config, shard_size=work.shards.size)
        kept = work.checkpoint.store
        store = None if kept is None or options.records == "sent" else kept.absolute()
        try:
            rest = pickler.dumps((steps, images, sent, config, work.order, store))
        except Exception as error:  # noqa: BLE001 - see above
            raise RobustcheckError(
                f"the steps of the repository or its images can't be sent to workers ({type(error).__name__}: {error}): "
                "make them of what can be pickled; images go decoded with --robustcheck-worker-options=images:pixels"
            ) from None
    return Shipment(classifier, rest, sends_pixels=sent is not None)


def saved(classifier: Classifier, pickler: ModuleType) -> bytes:
    """Return a classifier as a file of `torch.save`."""
    file = BytesIO()
    torch.save(classifier, file, pickle_module=pickler, pickle_protocol=5)
    return file.getvalue()


def unpack(classifier: bytes | Load, rest: bytes, device: str) -> tuple[Evaluation, Sent | None]:
    """Return an evaluation in the process of a worker, with the repository's steps declared, and where pixels go."""
    import pickle

    if callable(classifier):
        loaded = classifier()
    else:
        # What is in it was pickled by the process that started this one.
        loaded = torch.load(BytesIO(classifier), map_location=device, weights_only=False)
    if loaded.device != torch.device(device):
        loaded = loaded.to(device)
    steps, images, sent, config, order, store = pickle.loads(rest)  # noqa: S301 - so was this
    STEPS.update(steps)
    return Evaluation(loaded, images, config, order=order, store=store), sent


def pixels_of(images: ImageSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return images decoded: uint8 (n, 3, H, W)."""
    (batch,) = images.batches(len(rows), rows)
    pixels: npt.NDArray[np.uint8] = batch.pixels.numpy()
    return pixels


def _images(images: ImageSet, options: WorkerOptions) -> tuple[ImageSet, Sent | None]:
    sends_pixels = options.images == "pixels" or (options.images is None and not images.source.is_on_disk)
    sent = Sent() if sends_pixels else None
    made = ImageSet(
        sent or images.source,
        names=images.names,
        name=images.name,
        labels=images.labels,
        class_names=images.class_names,
    )
    return made, sent


@contextmanager
def _by_value(pickler: Any) -> Iterator[None]:
    """Have the code of modules that are no installed packages pickled with what uses it."""
    with ExitStack() as after:
        for module in [*sys.modules.values()]:
            name = getattr(module, "__name__", "__main__")
            if _is_local(module) and name != "__main__" and sys.modules.get(name) is module:
                pickler.register_pickle_by_value(module)
                after.callback(partial(pickler.unregister_pickle_by_value, module))
        yield


def _is_local(module: ModuleType) -> bool:
    path = getattr(module, "__file__", None)
    if not path or not path.endswith(".py") or module.__name__.partition(".")[0] == "robustcheck":
        return False
    return _INSTALLED.isdisjoint(Path(path).parts)
