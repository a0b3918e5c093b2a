"""In which numbers a network computes: of its products, which may be others than those of its weights."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from robustcheck.models.precision import PRECISION_NAMES

_PRODUCTS = ("conv", "mm", "bmm", "linear", "attention", "matmul", "einsum")


def computed_in(run: Callable[[], object]) -> tuple[str, ...]:
    """Return the precisions of the convolutions and matrix products in a call: fp32, bf16; of all it computes if it has none.

    An `autocast` inside counts, and so does a conversion: what is watched is what reaches PyTorch's kernels.
    """
    watch = _WatchBesideCompiler() if "torch._dynamo" in sys.modules else _Watch()
    with watch:
        run()
    return tuple(sorted(watch.products or watch.others))


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: set[str] = set()
        self.others: set[str] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: to keep its compiler away from this, PyTorch would load it, which doubles the start of a run."""
        return False

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = str(func)
        is_product = any(word in name for word in _PRODUCTS)
        found = self.products if is_product else self.others
        if name.startswith("quantized"):
            found.add("int8")
        found.update(
            PRECISION_NAMES.get(each.dtype, str(each.dtype).removeprefix("torch."))
            for each in _tensors(result)
            if each.is_floating_point()
        )
        return result


class _WatchBesideCompiler(_Watch):  # type: ignore[no-untyped-call]
    """The same where the compiler is loaded, as by a compiled network: it does not compile this."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return True

    def __torch_dispatch__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__torch_dispatch__(*args, **kwargs)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)
