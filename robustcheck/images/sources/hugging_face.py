"""Datasets of the Hugging Face hub or in a local folder, by the library datasets."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.images.decoding import BadImage, Pixels, decode
from robustcheck.images.image_set import ImageSet
from robustcheck.images.source import Source
from robustcheck.images.sources.columns import LABELS, TableSpec, as_labels, column
from robustcheck.images.subset import Draw, draw_uniform
from robustcheck.models.checkpoints.download_errors import unreachable
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.system import import_library
from robustcheck.text import first_line

_SETTINGS = ("image", "label", "config", "streaming")
_IMAGES = ("image", "img", "picture", "photo")
_SPLITS = ("validation", "val", "test", "train")
_BUFFER = 1000
"""Examples among which a stream is shuffled."""
_PLACE_AND_SPLIT = re.compile(r"(.*):((?:[^:/\\\[\]]|\[[^\[\]/\\]*\])*)")
"""A colon inside brackets belongs to a slice of the split, as in `train[:10%]`."""


def open_dataset(argument: str, preprocessing: Preprocessing, draw: Draw | None) -> ImageSet:
    """Open the images in `DATASET[:SPLIT][?image=COLUMN&label=COLUMN&config=NAME&streaming=yes]`.

    The default split is validation, else test, else train, and reports say which; a part of one, `train[:10%]`, is
    read by the library from the hub and from folders of files. A stream is shuffled by shards and in a buffer, and the
    first examples that `draw` asks for are kept, encoded, in memory.
    RobustcheckError for a dataset that can't be loaded, and for columns that don't exist.
    """
    spec = TableSpec.read(argument, _SETTINGS)
    place, split = _place_and_split(spec.place)
    library = import_library(
        "datasets",
        "images hf:... need the library datasets, which is not installed: pip install 'pytest-robustcheck[hf]'",
    )
    streaming = _is_yes(spec.settings.get("streaming", "no"), argument)
    if streaming and draw is None:
        raise RobustcheckError(
            f"images 'hf:{argument}' are streamed, and what is read of a stream is kept in memory: add "
            "--robustcheck-limit=N, or remove streaming=yes"
        )
    with _user_errors(argument, place), _quiet(library):
        dataset, split = _loaded(library, place, split, spec.settings.get("config"), streaming)
        features = dict(dataset.features or {})
        image_in, label_in = _columns(library, features, spec, argument)
        dataset = dataset.cast_column(image_in, library.Image(decode=False))
        name = f"hf:{place}:{split}"
        if streaming:
            assert draw is not None  # noqa: S101 - see above
            shuffled = dataset.shuffle(seed=draw.seed, buffer_size=_BUFFER)
            examples: Any = list(shuffled.take(draw.count))
            note = f"the first {len(examples)} of the stream, shuffled by shards and {_BUFFER} at a time"
        else:
            if draw is not None and not draw.stratified and draw.count < len(dataset):
                dataset = dataset.select(draw_uniform(len(dataset), draw.count, draw.seed))
            examples, note = dataset, ""
        labels = None if label_in is None else _labels(dataset, examples, label_in)
        feature = features.get(label_in or "")
    if not len(examples):
        raise RobustcheckError(f"images {name!r} must hold examples, got none: name another split")
    where = [f"{name}, example {index}" for index in range(len(examples))]
    indices, names = (None, None) if labels is None else as_labels(labels, where)
    read = _Examples(examples, image_in, preprocessing, where, _roots(library, place))
    made = ImageSet(
        Source(read, is_resized=True),
        names=where,
        name=name,
        labels=indices,
        class_names=names or getattr(feature, "names", None) or None,
    )
    made.has_sorted_names = names is not None
    return made.with_note(note)


@dataclass(frozen=True)
class _Examples:
    """Reads and decodes the image of an example, by position."""

    examples: Any
    column: str
    preprocessing: Preprocessing
    names: Sequence[str]
    roots: Sequence[str]
    """The folders in which files of the dataset may lie."""
    lock: Lock = field(default_factory=Lock)

    def __call__(self, position: int) -> Pixels:
        with self.lock:
            image = self.examples[position][self.column]
        if image is None or not (image.get("bytes") or image.get("path")):
            raise BadImage(self.names[position], "is missing: the dataset has no image there")
        if not image["bytes"] and not _is_below(image["path"], self.roots):
            raise BadImage(
                self.names[position],
                f"is {image['path']!r}, a file outside the dataset's folder and the cache of the library datasets: copy it into the "
                "dataset",
            )
        return decode(image["bytes"] or Path(image["path"]), self.preprocessing, self.names[position])


def _labels(dataset: Any, examples: Any, label_in: str) -> Sequence[Any]:
    if isinstance(examples, list):
        return [example[label_in] for example in examples]
    return list(dataset[label_in])


def _loaded(
    library: Any, place: str, split: str | None, config: str | None, streaming: bool
) -> tuple[Any, str]:
    folder = Path(place).expanduser()
    if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
        loaded = library.load_from_disk(str(folder))
        if isinstance(loaded, library.Dataset):
            if split is not None and split != str(loaded.split or split):
                raise unknown(f"split of {place}", split, [str(loaded.split)])
            return loaded.to_iterable_dataset() if streaming else loaded, split or str(loaded.split or "all")
        if split is not None and split not in loaded:
            raise unknown(f"split of {place}", split, list(loaded))
        chosen = _split(list(loaded), split, place)
        return loaded[chosen].to_iterable_dataset() if streaming else loaded[chosen], chosen
    source = str(folder) if folder.is_dir() else place
    chosen = _split(library.get_dataset_split_names(source, config), split, place)
    _check_data_files(library.load_dataset_builder(source, config), source, folder)
    return library.load_dataset(source, config, split=chosen, streaming=streaming), chosen


def _check_data_files(builder: Any, source: str, folder: Path) -> None:
    """Raise RobustcheckError for a dataset whose YAML names files that are not its own."""
    for files in (builder.config.data_files or {}).values():
        for file in map(str, files):
            if folder.is_dir():
                is_own = _is_below(file, [str(folder)])
            else:
                is_own = file.startswith((f"hf://datasets/{source}@", f"hf://datasets/{source}/"))
            if not is_own:
                raise RobustcheckError(
                    f"images 'hf:{source}' name the file {file!r} outside the dataset: copy it into the dataset, and "
                    "correct the data_files in its README.md"
                )


def _roots(library: Any, place: str) -> list[str]:
    from huggingface_hub.constants import HF_HUB_CACHE

    folder, settings = Path(place).expanduser(), library.config
    caches = (settings.HF_DATASETS_CACHE, settings.DOWNLOADED_DATASETS_PATH, HF_HUB_CACHE)
    return [*map(str, caches), *([str(folder)] if folder.is_dir() else [])]


def _is_below(path: str, folders: Sequence[str]) -> bool:
    """Return whether a path leads into one of the folders; links in them are followed, as in folders of images."""
    whole = os.path.abspath(path)  # noqa: PTH100 - without following links
    return any(whole.startswith(os.path.join(os.path.abspath(folder), "")) for folder in folders)  # noqa: PTH100, PTH118


def _split(there: list[str], wanted: str | None, place: str) -> str:
    if wanted is not None:
        if wanted.partition("[")[0] not in there:
            raise unknown(f"split of {place}", wanted, there)
        return wanted
    return next((name for name in _SPLITS if name in there), there[0])


def _columns(
    library: Any, features: dict[str, Any], spec: TableSpec, argument: str
) -> tuple[str, str | None]:
    where = f"hf:{argument}"
    pictures = [name for name, feature in features.items() if isinstance(feature, library.Image)]
    image_in = column(
        spec.settings.get("image"), _IMAGES, pictures or list(features), what="image", where=where
    )
    image_in = image_in or (pictures[0] if len(pictures) == 1 else None)
    if image_in is None or image_in not in pictures:
        raise RobustcheckError(
            f"images {where!r}: {'no column holds images' if not pictures else 'several columns hold images'}: the columns "
            f"are {', '.join(f'{name} ({type(kind).__name__})' for name, kind in features.items()) or 'not known'}; name one "
            "of type Image: ?image=COLUMN"
        )
    classes = [name for name, feature in features.items() if isinstance(feature, library.ClassLabel)]
    label_in = column(spec.settings.get("label"), LABELS, list(features), what="label", where=where)
    if label_in is None and len(classes) == 1:
        label_in = classes[0]
    return image_in, label_in


def _place_and_split(text: str) -> tuple[str, str | None]:
    found = _PLACE_AND_SPLIT.fullmatch(text)
    place, split = found.groups() if found else (text, "")
    if not place.strip():
        raise RobustcheckError(
            f"images must name a dataset, as in hf:cifar10:test or hf:FOLDER, got 'hf:{text}'"
        )
    return place, split or None


def _is_yes(text: str, argument: str) -> bool:
    if text.lower() not in {"yes", "no", "true", "false", "1", "0"}:
        raise RobustcheckError(f"images 'hf:{argument}': streaming must be yes or no, got {text!r}")
    return text.lower() in {"yes", "true", "1"}


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Silence the library's progress bars and messages."""
    were_on, level = library.is_progress_bar_enabled(), library.logging.get_verbosity()
    library.disable_progress_bars()
    library.logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        library.logging.set_verbosity(level)
        if were_on:
            library.enable_progress_bars()


@contextmanager
def _user_errors(argument: str, place: str) -> Iterator[None]:
    try:
        yield
    except RobustcheckError:
        raise
    except Exception as error:
        message = first_line(error, 300)
        if not Path(place).expanduser().is_dir() and (reason := unreachable(error)) is not None:
            raise RobustcheckError(
                f"images 'hf:{argument}' could not be fetched from the Hugging Face hub ({reason}), and there is no folder "
                f"of that name. On a machine with access to the hub: hf download {place} --repo-type dataset --local-dir "
                "FOLDER; then here --robustcheck-images=hf:FOLDER"
            ) from error
        raise RobustcheckError(
            f"images 'hf:{argument}' can't be loaded by the library datasets ({type(error).__name__}: {message}); check the "
            "name, and that its files are images or Parquet (its own loading code is not run)"
        ) from error
