"""The registry of steps: a row declares all there is to know of a step, and names the code that runs it.

Rows are data, without torch: views are read and checked by them alone. The implementation is loaded when it first runs.
To add an attack or a transform, write its file in `robustcheck.attacks` or `robustcheck.transforms` and a row in
`robustcheck.notation.steps`; nothing else knows its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

from robustcheck.notation.options import Number, Option

if TYPE_CHECKING:
    from robustcheck.notation.tree import View

Gradient = Literal["own", "identity"]
"""How a gradient goes through a transform: by the transform's own, or by the identity in its place (BPDA)."""

AIM = ("label", "target", "through", "eot", "from", "norm", "loss")
"""Options that say what an attack's gradient is of; the others say how it is followed."""


@dataclass(frozen=True)
class Strength:
    """What a step must do to the model at least, compared with others of the same epsilon on the same images."""

    rank: int
    """Of a lower rank it must be the weaker: random signs 0, one step 1, many steps 2."""
    grows: bool = False
    """Whether a larger epsilon must do at least the harm of a smaller one (one large step may overshoot)."""


@dataclass(frozen=True)
class Step:
    """A row of the registry: what may be written of a step, how it behaves, and who runs it."""

    name: str
    kind: Literal["attack", "transform", "selection"]
    """A selection takes several views, and for each image one of theirs."""
    summary: str
    implementation: str
    """`module:name` of its function: see `robustcheck.attacks.batch`, `robustcheck.transforms.transform`, and, for a
    selection, `robustcheck.transforms.worst`."""
    example: str = ""
    amount: Number | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    is_open: bool = False
    """Whether it takes any option, for a library that knows which it has."""
    needs: Callable[[View], Iterable[View]] = lambda view: view.sources
    """The views whose images it reads: those written in it, unless it needs more."""
    check: Callable[[View], tuple[str, str] | None] = lambda _view: None
    """What is wrong with amount and options together: the option (or "" for the amount) and the words for it."""
    validator: str = ""
    """`module:name` of a function of a view that raises `RobustcheckError` if a library lacks what the view names."""
    distributions: tuple[str, ...] = ()
    """Distributions on PyPI of the library that its numbers depend on; the first that is installed is the one."""
    is_seeded: Callable[[View], bool] = lambda _view: False
    """Whether a view of it, apart from what it is made from, is drawn at random."""
    gradients: tuple[Gradient, ...] = ()
    """Of a transform: how an attack's gradient may go through it, the default first; empty if it can't."""
    is_noise: bool = False
    """Whether a transform is noise, which reports show as a control rather than as a defence."""
    control: str = ""
    """Of a defence: the step that puts noise of the same size, and amount, in its place."""
    title: str = ""
    """What reports call it in a sentence; the name, if empty."""
    shares_gradient: Callable[[View], bool] = lambda _view: False
    """Whether an attack's first step follows the gradient at its source, so that others can share it."""
    differ_in: tuple[str, ...] | None = None
    """Options in which views may differ whose images are made in one batch; None if each is made alone."""
    strength: Strength | None = None
    function: Callable[..., Any] | None = None
    """Of a step that a repository registered, its function."""

    @property
    def version(self) -> str:
        """Name and version of the library that its numbers depend on; nothing for a step of our own."""
        for distribution in self.distributions:
            with suppress(PackageNotFoundError):
                return f"{distribution} {version(distribution)}"
        return f"{self.name.partition(':')[0]}, of an unknown version" if self.distributions else ""


STEPS: dict[str, Step] = {}
"""By name, and by prefix (`foolbox:`) the families of other libraries' attacks."""


def add_steps(*steps: Step) -> None:
    """Put rows into the registry, in place of those of the same name."""
    STEPS.update((step.name.replace(":NAME", ":"), step) for step in steps)


def find_step(name: str) -> Step | None:
    """Return the row of a step, or None.

    >>> find_step("foolbox:LinfPGD").name
    'foolbox:NAME'
    """
    return STEPS.get(name) or STEPS.get(name[: name.find(":") + 1])


@contextmanager
def temporary_steps() -> Iterator[None]:
    """Forget what is registered within, for tests.

    >>> with temporary_steps():
    ...     add_steps(Step("Same", "transform", "nothing", "copy:copy"))
    >>> find_step("Same") is None
    True
    """
    before = dict(STEPS)
    try:
        yield
    finally:
        STEPS.clear()
        STEPS.update(before)


def load(path: str) -> Any:
    """Import what a row names as `module:name`."""
    module, _, names = path.partition(":")
    return reduce(getattr, names.split("."), import_module(module))
