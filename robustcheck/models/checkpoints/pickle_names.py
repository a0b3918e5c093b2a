"""The names that a checkpoint may use: torch's tensors and types, NumPy's scalars, and what is dropped.

None of the named objects is called. A tensor becomes a description of itself, a NumPy scalar a Python number, and the
arguments of a training script a placeholder. All names are on torch's own list for weights alone, or are of NumPy's
scalars, or become placeholders.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import torch

from robustcheck.models.checkpoints.pickle_data import Constructor, Record, Stateful, is_key
from robustcheck.models.checkpoints.stored_tensor import BadCheckpoint, Storage, StoredTensor

_LONGEST_SCALAR = 64
_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexDouble": torch.complex128,
    "ComplexFloat": torch.complex64,
    "Untyped": torch.uint8,
}
_QUANTISED = ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")
_PLACEHOLDERS = (
    "argparse.Namespace",
    "builtins.bytearray",
    "torch.device",
    *(f"pathlib{m}.{n}" for m in ("", "._local") for n in ("PosixPath", "WindowsPath")),
)
_FORMATS = {f"f{1 << n}": code for n, code in zip((1, 2, 3), "efd", strict=True)}
_FORMATS |= {
    f"{kind}{1 << n}": code for kind, codes in (("i", "bhiq"), ("u", "BHIQ")) for n, code in enumerate(codes)
}
_FORMATS["b1"] = "?"


class Placeholder(Stateful):
    """What stands for a value that weights don't need."""


class _ScalarType(Stateful):
    """NumPy's dtype of a scalar, by its code."""

    def __init__(self, code: object, _align: object = False, _copy: object = True) -> None:
        text = code.lstrip("<=|>") if isinstance(code, str) else None
        if text not in _FORMATS:
            raise BadCheckpoint(f"holds a NumPy value of dtype {str(code)[:20]!r}, which is not a number")
        self.format = _FORMATS[text]
        self.order = ">" if str(code).startswith(">") else "<"

    def set_state(self, state: Any) -> None:
        """Take the byte order; the rest of the state of a number's dtype says nothing."""
        if (
            type(state) is not tuple
            or len(state) < 5
            or state[1] not in {"<", ">", "|", "="}
            or any(state[2:5])
        ):
            raise BadCheckpoint("holds a NumPy value whose dtype is not that of a number")
        self.order = ">" if state[1] == ">" else "<"


def _scalar(kind: object, data: object) -> Any:
    if not isinstance(kind, _ScalarType) or type(data) is not bytes:
        raise BadCheckpoint("holds a NumPy value that is not a number")
    layout = kind.order + kind.format
    if len(data) != struct.calcsize(layout):
        raise BadCheckpoint("holds a NumPy number of too few or too many bytes")
    return struct.unpack(layout, data)[0]


def _encoded(text: object, encoding: object = "utf-8") -> Any:
    """Return bytes of a pickle of protocol 2, which writes them as text; only scalars need them."""
    if type(text) is not str or encoding not in {"latin1", "latin-1"} or len(text) > _LONGEST_SCALAR:
        return Placeholder()
    return text.encode("latin-1")


def _emptied(items: object) -> list[Any]:
    """Return the items of a list and empty it, so that a pickle can't have one list copied many times."""
    if type(items) is not list:
        raise BadCheckpoint(f"builds a container of a {type(items).__name__}")
    taken = list(items)
    items.clear()
    return taken


def _ordered_dict(pairs: object = None) -> Record:
    made = Record()
    for pair in [] if pairs is None else _emptied(pairs):  # as Python 2 wrote them
        if type(pair) not in {list, tuple} or len(pair) != 2 or not is_key(pair[0]):
            raise BadCheckpoint("builds a dictionary of what are not pairs of a plain key and a value")
        made[pair[0]] = pair[1]
    return made


def _set(items: object = None) -> set[Any]:
    taken = [] if items is None else _emptied(items)
    if not all(map(is_key, taken)):
        raise BadCheckpoint("builds a set of what can't be keys")
    return set(taken)


def _counter(counts: object = None) -> Any:
    return Record() if counts is None else counts


def _tensor(storage: object, offset: Any, shape: Any, stride: Any, *_: object) -> StoredTensor:
    if not (type(storage) is tuple and len(storage) == 2 and type(shape) is type(stride) is tuple):
        raise BadCheckpoint("builds a tensor of what is no storage, shape and stride")
    run, dtype = storage
    if isinstance(dtype, str):
        return StoredTensor(run, None, shape, kind=dtype)
    made = StoredTensor(run, dtype, shape, stride, offset)
    made.check()
    return made


def _tensor_of_dtype(
    storage: object,
    offset: Any,
    shape: Any,
    stride: Any,
    _grad: object,
    _hooks: object,
    dtype: object,
    *_: object,
) -> StoredTensor:
    if type(storage) is not tuple or not isinstance(dtype, torch.dtype):
        raise BadCheckpoint("builds a tensor of what is no dtype")
    return _tensor((storage[0], dtype), offset, shape, stride)


def _parameter(data: object, *_: object) -> StoredTensor:
    if not isinstance(data, StoredTensor):
        raise BadCheckpoint("builds a parameter of what is no tensor")
    return data


def _tensor_subclass(function: object, _kind: object, arguments: object, *_: object) -> StoredTensor:
    """Build a tensor of another class, or with attributes, without them."""
    if not isinstance(function, Constructor) or type(arguments) is not tuple:
        raise BadCheckpoint("builds a tensor by something that is not a constructor of tensors")
    return _parameter(function.function(*arguments))


def _unsupported(kind: str, shape_at: int) -> Constructor:
    """Return the constructor of tensors that are no weights here; they are refused when they are used."""

    def build(*arguments: Any) -> StoredTensor:
        shape = arguments[shape_at] if len(arguments) > shape_at else ()
        return StoredTensor(None, None, shape if type(shape) is tuple else (), kind=kind)

    return Constructor(build)


def storage_of(persistent_id: Any) -> tuple[Storage, Any]:
    """Return the storage that a persistent id names and its dtype, or text that says what it is instead."""
    if type(persistent_id) is not tuple or len(persistent_id) < 5 or persistent_id[0] != "storage":
        raise BadCheckpoint("refers to something that is not a storage")
    _, kind, key, location, count, *view = persistent_id
    if not (type(key) is str and type(count) is int and count >= 0) or any(view):
        raise BadCheckpoint("refers to a storage in a way that torch.save does not")
    if location == "meta":
        return Storage(key, 0), "on the meta device, which has no numbers"
    if not isinstance(kind, (torch.dtype, str)):
        raise BadCheckpoint("refers to a storage of no type")
    return Storage(key, count * (kind.itemsize if isinstance(kind, torch.dtype) else 1)), kind


def _dtypes() -> dict[str, torch.dtype]:
    found = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
    return {name: dtype for name, dtype in found.items() if not name.startswith("torch.q")}


NAMES: Mapping[str, Any] = {
    **_dtypes(),
    **{
        f"torch.{where}{name}Storage": dtype
        for name, dtype in _STORAGES.items()
        for where in ("", "cuda.", "storage.")
    },
    **{f"torch.{name}Storage": "quantised" for name in _QUANTISED},
    **{f"torch.{name.lower()}": "quantised" for name in _QUANTISED},
    **dict.fromkeys(
        (
            f"torch.per_{how}"
            for how in ("tensor_affine", "tensor_symmetric", "channel_affine", "channel_symmetric")
        ),
        "",
    ),
    **dict.fromkeys(("torch.Tensor", "torch.nn.parameter.Buffer"), ""),
    "torch.nn.parameter.Parameter": Constructor(_parameter),
    "torch._utils._rebuild_tensor": Constructor(_tensor),
    "torch._utils._rebuild_tensor_v2": Constructor(_tensor),
    "torch._utils._rebuild_tensor_v3": Constructor(_tensor_of_dtype),
    "torch._utils._rebuild_parameter": Constructor(_parameter),
    "torch._utils._rebuild_parameter_with_state": Constructor(_parameter),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": Constructor(_parameter),
    "torch._tensor._rebuild_from_type_v2": Constructor(_tensor_subclass),
    "torch._utils._rebuild_qtensor": _unsupported("quantised", 2),
    "torch._utils._rebuild_sparse_tensor": _unsupported("sparse", 9),
    "torch._utils._rebuild_nested_tensor": _unsupported("nested", 9),
    "torch._utils._rebuild_wrapper_subclass": _unsupported("of a class of its own", 2),
    "torch._utils._rebuild_meta_tensor_no_storage": _unsupported(
        "on the meta device, which has no numbers", 1
    ),
    "torch.serialization._get_layout": Constructor(lambda *_: Placeholder()),
    "torch.Size": Constructor(lambda shape=(): shape if type(shape) is tuple else tuple(_emptied(shape))),
    "collections.OrderedDict": Constructor(_ordered_dict),
    "collections.Counter": Constructor(_counter),
    **dict.fromkeys(("builtins.set", "__builtin__.set"), Constructor(_set)),
    "builtins.complex": Constructor(lambda *_: Placeholder()),
    "_codecs.encode": Constructor(_encoded),
    "numpy.dtype": Constructor(_ScalarType),
    **dict.fromkeys((f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")), Constructor(_scalar)),
    **dict.fromkeys(_PLACEHOLDERS, Constructor(lambda *_: Placeholder())),
}
