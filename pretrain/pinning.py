"""Page-locked memory, from which a GPU copies without the host waiting."""

from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate.utils import recursively_apply
from torch import Tensor

T = TypeVar("T")


def pinning(make: Callable[[int], T], device: torch.device) -> Callable[[int], T]:
    """Return `make` with the host tensors of its batches in page-locked memory.

    Where the device is no GPU there is nothing to gain, and `make` is returned as it is.
    """
    if device.type != "cuda":
        return make

    def make_pinned(step: int) -> T:
        return recursively_apply(_pinned, make(step))

    return make_pinned


def _pinned(tensor: Tensor) -> Tensor:
    return tensor.pin_memory() if tensor.device.type == "cpu" else tensor
