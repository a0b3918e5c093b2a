"""What numbers depend on: model, images, codec, device, seeds, versions.

`Provenance` holds it as data. `header` and `from_header` are the one place that maps it to the lines of text that
stand in the headers of record files, in reports and in the keys of the record store, and back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

LABELS = (
    "attacks maximise the loss of l_x, the model's own top label on the clean image, unless [label=true] or "
    "[target=...]; accuracy is against image labels"
)
"""The one label policy."""
_IN_OTHER_WORDS = {
    "attacks flee from l_x unless [label=true] or [target=...]; accuracy is against image labels": LABELS
}
"""Label policies as files of version 2 have them, which mean the same."""


@dataclass(frozen=True)
class Model:
    """A classifier by name, the fingerprint of its weights, and where they are from."""

    name: str = ""
    weights: str = ""
    origin: str = ""

    def __str__(self) -> str:
        weights = f", weights {self.weights}" if self.weights else ""
        return self.name + weights + (f" ({self.origin})" if self.origin else "")


@dataclass(frozen=True)
class Images:
    """An image set: its name, how many images are in it, and what was left out of it or matched."""

    name: str = ""
    count: int | None = None
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    """A digest of all pixels; "" where not all images were seen."""
    duplicates: str = ""
    """Which images are the same as an earlier one, in words."""

    @property
    def summary(self) -> str:
        """The set without what only a look at all of its pixels can tell."""
        return ", ".join([self.name, *([] if self.count is None else [f"{self.count} images"]), *self.notes])

    def __str__(self) -> str:
        fingerprint = f"fingerprint {self.fingerprint}" if self.fingerprint else ""
        return ", ".join(filter(None, [self.summary, fingerprint, self.duplicates]))


@dataclass(frozen=True)
class Codec:
    """A JPEG codec: its settings, which decide the pixels, and the library that follows them."""

    settings: str = ""
    library: str = ""

    def __str__(self) -> str:
        return self.settings + (f", by {self.library}" if self.library else "")


@dataclass(frozen=True)
class Provenance:
    """Everything that the numbers depend on; what is unknown is empty."""

    model: Model = field(default_factory=Model)
    pixels: str = ""
    """How images are prepared for the classifier."""
    images: Images = field(default_factory=Images)
    devices: tuple[str, ...] = ()
    """Several where processes with a GPU each shared the work."""
    precision: str = ""
    network: str = ""
    """What was done to the network to make it faster."""
    codec: Codec = field(default_factory=Codec)
    labels: str = ""
    """Which labels attacks and accuracy go by."""
    seed: str = ""
    versions: tuple[str, ...] = ()
    """Of the libraries that every run uses: "torch 2.6.0"."""
    libraries: tuple[str, ...] = ()
    """Of the libraries whose attacks were used."""
    batch_size: str = ""
    """How the batch size was found, where it was measured."""
    other: tuple[tuple[str, str], ...] = ()
    """Lines of a file that this version knows nothing of."""

    def header(self) -> dict[str, str]:
        """Return a line of text for each that is known, in the order in which files and reports have them."""
        lines = {
            "model": str(self.model),
            "pixels": self.pixels,
            "images": str(self.images),
            "device": ", ".join(self.devices),
            "precision": self.precision,
            "network": self.network,
            "codec": str(self.codec),
            "labels": self.labels,
            "seed": self.seed,
            "versions": ", ".join(self.versions),
            "libraries": ", ".join(self.libraries),
            "batch size": self.batch_size,
            **dict(self.other),
        }
        return {name: text for name, text in lines.items() if text}

    def brief(self) -> dict[str, str]:
        """Return what a person looks for first, in at most four lines of text; `header` has all."""
        images = ", ".join(filter(None, [self.images.summary, self.images.fingerprint]))
        seed = f"seed {self.seed}" if self.seed else ""
        run = [
            self.precision,
            *self.devices,
            seed,
            *(version.partition("+")[0] for version in self.versions[:2]),
        ]
        lines = {
            "model": str(self.model),
            "images": images,
            "pixels": self.pixels,
            "run": ", ".join(filter(None, run)),
        }
        return {name: text for name, text in lines.items() if text}

    def conflicts(self, other: Provenance, *, same_images: bool = True) -> list[str]:
        """Return what keeps the records of two runs from being put together, in words: what differs of what numbers depend on.

        The libraries of attacks, the batch size and which GPU of a kind did the work may differ, and without
        `same_images` the images.
        """
        pairs = {
            "model": (str(self.model), str(other.model)),
            "pixels": (self.pixels, other.pixels),
            "images": (self.images.summary, other.images.summary) if same_images else ("", ""),
            "device": (self._kinds, other._kinds),
            "precision": (self.precision, other.precision),
            "network": (self.network, other.network),
            "codec": (self.codec.settings, other.codec.settings),
            "labels": (self.labels, other.labels),
            "seed": (self.seed, other.seed),
            "versions": (", ".join(self.versions), ", ".join(other.versions)),
        }
        return [f"{name} {one!r} and {two!r}" for name, (one, two) in pairs.items() if one != two]

    def merged(self, other: Provenance) -> Provenance:
        """Return the provenance of records of the same images from two runs that have no conflicts."""
        images = self.images if self.images.fingerprint else other.images
        return replace(
            self,
            images=images,
            libraries=tuple(sorted({*self.libraries, *other.libraries})),
            devices=tuple(sorted({*self.devices, *other.devices})),
        )

    def concatenated(self, other: Provenance) -> Provenance:
        """Return the provenance of records of different images from two runs that have no conflicts."""
        counts = (self.images.count, other.images.count)
        count = None if None in counts else sum(filter(None, counts))
        notes = tuple(dict.fromkeys([*self.images.notes, *other.images.notes]))
        name = " and ".join(dict.fromkeys([self.images.name, other.images.name]))
        return replace(self.merged(other), images=Images(name, count, notes))

    @property
    def _kinds(self) -> str:
        """The kinds of device, without the number of a GPU."""
        return ", ".join(sorted({re.sub(r"^cuda:\d+ ", "cuda ", device) for device in self.devices}))

    @classmethod
    def from_header(cls, lines: Mapping[str, str]) -> Provenance:
        """Return the provenance of which `header` gave these lines; raises TypeError for what is no such mapping."""
        if not isinstance(lines, Mapping):
            raise TypeError(f"provenance must be a mapping of names to texts, got {type(lines).__name__}")
        for name, text in lines.items():
            if not isinstance(text, str):
                raise TypeError(f"provenance must have texts, got {type(text).__name__} for {name}")
        left = dict(lines)
        found = cls(
            model=_model(left.pop("model", "")),
            images=_images(left.pop("images", "")),
            codec=_codec(left.pop("codec", "")),
            devices=_listed(left.pop("device", "")),
            versions=_listed(left.pop("versions", "")),
            libraries=_listed(left.pop("libraries", "")),
            batch_size=left.pop("batch size", ""),
        )
        texts = {name: left.pop(name, "") for name in ("pixels", "precision", "network", "labels", "seed")}
        texts["labels"] = _IN_OTHER_WORDS.get(texts["labels"], texts["labels"])
        return replace(found, **texts, other=tuple(left.items()))  # type: ignore[arg-type]


# Each reads the line of text that `str` of its value gave. Any other line is kept whole, as the first field.


def _model(text: str) -> Model:
    name, _, rest = text.partition(", weights ")
    weights, _, origin = rest.partition(" (")
    found = Model(name, weights, origin.removesuffix(")"))
    return found if str(found) == text else Model(text)


def _images(text: str) -> Images:
    summary, _, seen = text.partition(", fingerprint ")
    read = re.fullmatch(r"(.*?), ([0-9]{1,15}) images(?:, (.*))?", summary, re.DOTALL)
    if read is None:
        return Images(text)
    name, count, notes = read.groups()
    fingerprint, _, duplicates = seen.partition(", ")
    found = Images(name, int(count), (notes,) if notes else (), fingerprint, duplicates)
    return found if str(found) == text else Images(text)


def _codec(text: str) -> Codec:
    settings, _, library = text.partition(", by ")
    return Codec(settings, library) if str(Codec(settings, library)) == text else Codec(text)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(", ")) if text else ()
