"""What is sent to workers, as bytes: the classifier once, and of each evaluation the images, steps and options.

The classifier is written as `torch.save` does, by cloudpickle, so that it is loaded to the worker's device. Code that
is not in an installed package (a `conftest.py`, modules beside it) is sent along, since a worker could not import it. A
network that can't be pickled is loaded there by its spec.

Images from files are sent as paths; others, and with `images:pixels` these too, are decoded here and sent chunk by chunk.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
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
from robustcheck.models.own_code import is_own_module
from robustcheck.notation import STEPS

if TYPE_CHECKING:
    from robustcheck.options.workers import WorkerOptions

Load = Callable[[], Classifier]


class SentPixels:
    """The pixels of the chunk that a worker has at the moment; a source of images."""

    def __init__(self) -> None:
        self.by_position: dict[int, Pixels] = {}

    def __call__(self, position: int) -> Pixels:
        """The image at a position."""
        return self.by_position[position]


def serialize_classifier(classifier: Classifier, pickler: Any, load: Load | None) -> bytes | Load:
    """Return a classifier as a file of `torch.save`; if it can't be pickled, `load`, which loads it by its spec.

    `pickler` is cloudpickle. Raises `RobustcheckError` for a classifier that can be had neither way.
    """
    file = BytesIO()
    try:
        with _by_value(pickler):
            torch.save(classifier, file, pickle_module=pickler, pickle_protocol=5)
    except Exception as error:  # noqa: BLE001 - pickling fails in every way there is
        if load is None:
            raise RobustcheckError(
                f"{classifier.name} can't be sent to workers ({type(error).__name__}: {error}): make it of what can be "
                "pickled, or name it by a spec, --robustcheck-model=package.module:callable"
            ) from None
        return load
    return file.getvalue()


def serialize_evaluation(work: Workload, options: WorkerOptions, pickler: Any) -> tuple[bytes, bool]:
    """Return all of an evaluation but its classifier, and whether pixels are to be sent with each chunk.

    Raises `RobustcheckError` for images or steps of the repository that can't be pickled.
    """
    images, sent = _images(work.images, options)
    steps = {name: step for name, step in STEPS.items() if step.function is not None}
    config = replace(
        work.runner.config, shard_size=work.shards.size, is_folded=work.runner.model.attacked.is_folded
    )
    store = work.checkpoint.store
    shared = None if store is None or options.records == "sent" else store.absolute()
    try:
        with _by_value(pickler):
            data = pickler.dumps((steps, images, sent, config, work.order, shared))
    except Exception as error:  # noqa: BLE001 - as above
        raise RobustcheckError(
            f"the steps of the repository or its images can't be sent to workers ({type(error).__name__}: {error}): "
            "make them of what can be pickled; images go decoded with --robustcheck-worker-options=images:pixels"
        ) from None
    return data, sent is not None


def load_classifier(data: bytes | Load, device: str) -> Classifier:
    """Return a classifier in the process of a worker, on its device."""
    if callable(data):
        classifier = data()
    else:
        # What is in it was pickled by the process that started this one.
        classifier = torch.load(BytesIO(data), map_location=device, weights_only=False)
    return classifier if classifier.device == torch.device(device) else classifier.to(device)


def load_evaluation(classifier: Classifier, data: bytes) -> tuple[Evaluation, SentPixels | None]:
    """Return an evaluation in the process of a worker, with the repository's steps declared, and where pixels go."""
    steps, images, sent, config, order, store = pickle.loads(data)  # noqa: S301 - as above
    STEPS.update(steps)
    return Evaluation(classifier, images, config, order=order, store=store), sent


def pixels_of(images: ImageSet, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return images decoded: uint8 (n, 3, H, W)."""
    (batch,) = images.batches(len(rows), rows)
    pixels: npt.NDArray[np.uint8] = batch.pixels.numpy()
    return pixels


def _images(images: ImageSet, options: WorkerOptions) -> tuple[ImageSet, SentPixels | None]:
    sends_pixels = options.images == "pixels" or (options.images is None and not images.source.is_on_disk)
    sent = SentPixels() if sends_pixels else None
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
            if is_own_module(module) and name != "__main__" and sys.modules.get(name) is module:
                pickler.register_pickle_by_value(module)
                after.callback(partial(pickler.unregister_pickle_by_value, module))
        yield
