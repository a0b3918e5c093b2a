"""Data in a pickle, read by an interpreter that calls nothing but the constructors that it is given.

torch.save writes pickles. Python's own unpickler, and torch's for weights alone, build objects while they read; this
one knows the instructions that data needs, and its values are plain: numbers, text, containers, and what the
constructors return. Sharing is kept, and work is limited before it is done.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, Protocol, cast

from robustcheck.limits import excess
from robustcheck.models.checkpoints.stored_tensor import BadCheckpoint
from robustcheck.text import printable

_CHECK_EVERY = 10_000
_BITS_OF_HASH = 61  # of a number in CPython
_SIMPLE = (str, int, float, bool, bytes, type(None))


class NeedsCode(BadCheckpoint):
    """A pickle names something that is not among the constructors."""

    def __init__(self, name: str) -> None:
        super().__init__(f"needs {name}")
        self.name = name


@dataclass(frozen=True)
class Constructor:
    """A name that a pickle may call, and what is called."""

    function: Callable[..., Any]


class Record(dict[Any, Any]):
    """A dictionary of a pickle, with what `__setstate__` was given."""

    state: Any = None


class Stateful:
    """A value of a pickle that takes state after it was made."""

    def set_state(self, state: Any) -> None:
        """Take the state; by default it is dropped."""


class PickleFile(Protocol):
    """What a pickle is read from."""

    def read(self, count: int, /) -> bytes:
        """Return so many bytes, or those that are left."""

    def readline(self) -> bytes:
        """Return the rest of the line."""

    def tell(self) -> int:
        """Return the place in the file."""


def read_pickle(file: PickleFile, names: Mapping[str, Any], persistent: Callable[[Any], Any]) -> Any:
    """Read one pickle from a file and leave the file after it.

    `names` maps dotted names to constants and Constructors; `persistent` returns the value of a persistent id.
    Raises NeedsCode for another name, BadCheckpoint for what is no data or has too many instructions.
    """
    machine = _Machine(names, persistent)
    try:
        for count, (code, argument, _) in enumerate(pickletools.genops(cast("IO[bytes]", file)), 1):
            if not count % _CHECK_EVERY:
                _check_count(count)
            if code.name == "STOP":
                return machine.pop()
            if code.name not in _STEPS:
                raise BadCheckpoint(f"holds the pickle instruction {code.name}, which no checkpoint needs")  # noqa: TRY301
            _STEPS[code.name](machine, argument)
    except BadCheckpoint:
        raise
    except Exception as error:  # junk: a short stack, a bad argument, text that is no UTF-8
        raise BadCheckpoint(f"is truncated or damaged ({type(error).__name__} in its pickle)") from error
    raise BadCheckpoint("is truncated or damaged (a pickle without end)")


class _Machine:
    """The stack, the marks in it, and the memo."""

    def __init__(self, names: Mapping[str, Any], persistent: Callable[[Any], Any]) -> None:
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.stack.pop()

    def mark(self, _: Any = None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def make_tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def name(self, name: str) -> None:
        if name not in self.names:
            raise NeedsCode(printable(name[:100]))
        self.push(self.names[name])

    def name_of_stack(self, _: Any) -> None:
        attribute, module = self.pop(), self.pop()
        self.name(f"{module}.{attribute}")

    def call(self, _: Any) -> None:
        arguments, constructor = self.pop(), self.pop()
        if not isinstance(constructor, Constructor) or type(arguments) is not tuple:
            raise BadCheckpoint("calls something that is not a constructor of data")
        self.push(constructor.function(*arguments))

    def build(self, _: Any) -> None:
        state, value = self.pop(), self.stack[-1]
        if isinstance(value, Record):
            value.state = state
        elif isinstance(value, Stateful):
            value.set_state(state)
        else:
            raise BadCheckpoint(f"sets the state of a {type(value).__name__}")

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is set and all(map(is_key, items)):
            target.update(items)
        else:
            raise BadCheckpoint(f"adds items to a {type(target).__name__}")

    def set_items(self, items: list[Any]) -> None:
        target, keys = self.stack[-1], items[::2]
        if type(target) not in {dict, Record} or len(items) % 2 or not all(map(is_key, keys)):
            raise BadCheckpoint(f"sets items of a {type(target).__name__}, or with keys that are not plain")
        target.update(zip(keys, items[1::2], strict=True))


def is_key(value: Any) -> bool:
    """Whether a value can be a key of a dictionary.

    Hashing one that nests would recurse without a limit, and of many numbers with one hash, such as -1 and -2 in
    tuples or multiples of 2**61 - 1, each would be compared with all others.
    """
    if type(value) is tuple:
        return all(type(part) in _SIMPLE and _has_own_hash(part) for part in value)
    return type(value) in _SIMPLE and (type(value) is not int or value.bit_length() < _BITS_OF_HASH + 3)


def _has_own_hash(part: Any) -> bool:
    return not isinstance(part, float) and (not isinstance(part, int) or 0 <= part < 2**_BITS_OF_HASH - 1)


def _check_count(count: int) -> None:
    if beyond := excess("checkpoint-objects", count):
        raise BadCheckpoint(f"has {beyond}")


def _nothing(_: _Machine, __: Any) -> None:
    """Do nothing: protocol and frames are of no account here."""


def _pair(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def _one(machine: _Machine, _: Any) -> None:
    item = machine.pop()
    machine.extend([item])


def _memoize(machine: _Machine, index: int | None) -> None:
    machine.memo[len(machine.memo) if index is None else index] = machine.stack[-1]


Step = Callable[[_Machine, Any], None]
_VALUES = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE")
_BYTES = ("SHORT_BINBYTES", "BINBYTES")
_STEPS: dict[str, Step] = {
    "PROTO": _nothing,
    "FRAME": _nothing,
    "MARK": _Machine.mark,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys((*_VALUES, *_BYTES), _Machine.push),
    # Text of Python 2, which pickletools gives as Latin-1.
    **dict.fromkeys(
        ("SHORT_BINSTRING", "BINSTRING"),
        lambda machine, text: machine.push(text.encode("latin-1").decode("utf-8", "replace")),
    ),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "APPEND": _one,
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": _pair,
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _memoize),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])),
    "GLOBAL": lambda machine, name: machine.name(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": _Machine.name_of_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": lambda machine, _: machine.push(machine.persistent(machine.pop())),
}
