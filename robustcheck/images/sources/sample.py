"""Twenty labelled ImageNet photographs from the installed package foolbox."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from robustcheck.errors import RobustcheckError
from robustcheck.images.image_set import ImageSet
from robustcheck.images.sources.folder import image_set
from robustcheck.images.subset import Draw
from robustcheck.models.preprocessing import Preprocessing


def open_sample(argument: str, preprocessing: Preprocessing, _draw: Draw | None) -> ImageSet:
    """Open the files `imagenet_NN_LABEL.jpg`; labels are indices into the sorted WNIDs, as for torchvision and timm."""
    if argument:
        raise RobustcheckError(
            f"images must be sample, got 'sample:{argument}': there is one set of sample images"
        )
    spec = find_spec("foolbox")  # finds it without importing it
    paths = [
        path
        for folder in (spec.submodule_search_locations or [] if spec else [])
        for path in sorted(Path(folder, "data").glob("imagenet_*_*.jpg"))
    ]
    if not paths:
        raise RobustcheckError(
            "the sample images are read from foolbox, which is not installed: pip install 'pytest-robustcheck[sample]'"
        )
    labels = [int(path.stem.rpartition("_")[2]) for path in paths]
    files = [path.name for path in paths]
    return image_set(str(paths[0].parent), files, preprocessing, labels=labels, name="sample")
