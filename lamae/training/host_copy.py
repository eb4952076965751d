"""Copies of tensors in the memory of the host, which training no longer changes."""

from collections.abc import Mapping

import torch
from torch import Tensor


class HostCopy:
    """Memory into which tensors are copied; it is kept, so that only the first copy asks for it."""

    def __init__(self) -> None:
        """Take no memory yet."""
        self._kept: dict[str, Tensor] = {}

    def take(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies, contiguous and on the host; they are valid until the next call.

        From a GPU into page-locked memory, all at once; returns when they are there.
        """
        devices = {value.device for value in tensors.values() if value.is_cuda}
        for name, value in tensors.items():
            kept = self._kept.get(name)
            if kept is None or kept.shape != value.shape or kept.dtype != value.dtype:
                kept = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
                self._kept[name] = kept
            kept.copy_(value.detach(), non_blocking=True)
        for device in devices:
            torch.cuda.synchronize(device)
        return {name: self._kept[name] for name in tensors}
