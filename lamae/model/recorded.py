"""Recorded parts of a batch: leads, patches and samples that are neither absent nor padding."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class Recorded(NamedTuple):
    """Parts of a batch that were recorded; None stands for all of them."""

    present: Bool[Tensor, "b l"] | None = None
    """False for a lead that a recording lacks."""
    valid: Bool[Tensor, "b n"] | None = None
    """False for a patch of padding."""
    samples: Int[Tensor, " b"] | None = None
    """Recorded samples of each, behind which zeros stand."""

    def take(self, records: Int[Tensor, " records"]) -> "Recorded":
        """Return those of some recordings of the batch."""
        return Recorded._make(None if part is None else part[records] for part in self)

    def to(self, device: torch.device) -> "Recorded":
        """Return them on a device; the copy does not wait where memory is pinned."""
        return Recorded._make(
            None if part is None else part.to(device, non_blocking=True) for part in self
        )


WHOLE = Recorded()
"""Recordings that lack no lead and have no padding."""


def recorded_parts(
    present: Bool[Tensor, "b l"] | None,
    samples: Int[Tensor, " b"] | None,
    *,
    patches: int,
    patch_size: int,
) -> Recorded:
    """Return what was recorded of windows of so many patches; None where nothing is missing."""
    if samples is None:
        return Recorded(present)
    valid = valid_patches(samples, patches=patches, patch_size=patch_size)
    return Recorded(present, None if valid.all() else valid, samples)


def valid_patches(
    samples: Int[Tensor, " b"], *, patches: int, patch_size: int
) -> Bool[Tensor, "b n"]:
    """Return True for each patch that was recorded to its last sample.

    Args:
        samples: recorded samples of each recording; zeros stand behind them.
        patches: patches of a lead.
        patch_size: samples in a patch.
    """
    ends = torch.arange(1, patches + 1, device=samples.device) * patch_size
    return ends <= samples[:, None]
