"""Page-locked memory, from which a GPU copies without the host waiting."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def pinning(make: Callable[[int], T], device: torch.device) -> Callable[[int], T]:
    """Return what makes a step's batches with their host tensors in page-locked memory.

    Where the device is no GPU there is nothing to gain, and `make` is returned as it is.
    """
    if device.type != "cuda":
        return make

    def make_pinned(step: int) -> T:
        return with_tensors(make(step), _pinned)

    return make_pinned


def with_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return lists and named tuples as they are, each tensor in them changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list):
        return [with_tensors(one, change) for one in value]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(with_tensors(one, change) for one in value))
    return value


def _pinned(tensor: Tensor) -> Tensor:
    return tensor.pin_memory() if tensor.device.type == "cpu" else tensor
