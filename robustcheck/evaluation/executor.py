"""What is asked of workers on other machines, and what they give: shards, measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from robustcheck.evaluation.engine import Evaluation
    from robustcheck.evaluation.shards import Shard
    from robustcheck.notation import View
    from robustcheck.records import Rows


@dataclass(frozen=True)
class Measured:
    """What was measured of a shard, on its way from a worker."""

    ids: tuple[str, ...]
    columns: Mapping[str, Rows]
    """By the view's canonical text: the rows of `robustcheck.records`, one per image of the shard."""
    kept: tuple[str, ...] = ()
    """The views whose columns are in the record store instead, since the worker wrote them there."""
    doubts: tuple[str, ...] = ()
    """What the first batch of all shows to be wrong with the model."""
    warnings: tuple[str, ...] = ()
    where: str = ""
    """The machine."""
    device: str = ""
    """Its device, as in the facts of a study."""


class Workers(Protocol):
    """Whoever computes shards for evaluations, in other processes."""

    @property
    def are_here(self) -> bool:
        """Whether they run on this machine, so that nothing about theirs has to be asked for."""

    def prepare(self, evaluation: Evaluation) -> None:
        """Start, and have the evaluation know on what device."""

    def expects(self, evaluation: Evaluation, views: tuple[View, ...], shard: Shard) -> bool:
        """Return whether a shard was given out on the way to an earlier one."""

    def fetch(
        self,
        evaluation: Evaluation,
        views: tuple[View, ...],
        lacking: tuple[View, ...],
        shard: Shard,
        until: int,
    ) -> Measured:
        """Return a shard, measured under the views `lacking`, or under those that it was given out for before.

        Shards up to the image `until` of the order are given out meanwhile, for those of `views` that the store lacks.
        Raises `RobustcheckError` for what goes wrong there and can't be helped.
        """

    def rest(self) -> None:
        """Give nothing more out: what was asked for is decided."""
