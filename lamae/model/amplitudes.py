"""The scale of a recording: z-score it, and keep its voltages as numbers."""

from typing import NamedTuple

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor

AMPLITUDES = 5
"""Numbers for each lead."""

_SMALLEST_MV = 1e-4
"""A recording with a smaller deviation is flat, and is not scaled."""


class Scaled(NamedTuple):
    """A batch without its scale, and the scale."""

    signal: Float[Tensor, "b l samples"]
    """z-scored over all leads together; zeros in an absent lead and in padding."""
    amplitudes: Float[Tensor, "b l 5"]
    """For each lead: log deviation of the recording and of the lead, then maximum, minimum and
    steepest step, of which the area hyperbolic sine is taken; all of mV. Zeros for an absent
    lead."""


def without_scale(
    signal: Float[Tensor, "b l samples"],
    present: Bool[Tensor, "b l"] | None,
    valid: Bool[Tensor, "b n"] | None,
) -> Scaled:
    """Part recordings in mV into shape and scale.

    Args:
        signal: in mV, zeros in absent leads and in padding.
        present: False for a lead that a recording lacks; all present without it.
        valid: False for a patch of padding; all valid without it.
    """
    counted = _counted(signal, present, valid)
    counts = counted.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    mean = (signal * counted).sum(dim=(1, 2), keepdim=True) / counts
    centred = (signal - mean) * counted
    deviation = (centred.square().sum(dim=(1, 2), keepdim=True) / counts).sqrt()
    deviation = torch.where(deviation > _SMALLEST_MV, deviation, torch.ones_like(deviation))
    return Scaled(centred / deviation, _amplitudes(centred, counted, deviation))


def _counted(signal: Tensor, present: Tensor | None, valid: Tensor | None) -> Tensor:
    """Return 1 for each recorded sample of a lead that is there, else 0."""
    counted = torch.ones_like(signal)
    if present is not None:
        counted = counted * present[..., None]
    if valid is not None:
        size = signal.shape[-1] // valid.shape[-1]
        counted = counted * repeat(valid, "b n -> b 1 (n p)", p=size)
    return counted


def _amplitudes(centred: Tensor, counted: Tensor, deviation: Tensor) -> Float[Tensor, "b l 5"]:
    counts = counted.sum(dim=2).clamp(min=1)
    of_lead = centred - (centred.sum(dim=2) / counts)[..., None] * counted
    spread = (of_lead.square().sum(dim=2) / counts).sqrt().clamp(min=_SMALLEST_MV)
    steps = (centred[..., 1:] - centred[..., :-1]) * counted[..., 1:]
    there = (counted.amax(dim=2) > 0).to(centred.dtype)
    numbers = [
        deviation[..., 0].log().expand(-1, centred.shape[1]),
        spread.log(),
        centred.amax(dim=2).asinh(),
        centred.amin(dim=2).asinh(),
        steps.abs().amax(dim=2).asinh(),
    ]
    return torch.stack(numbers, dim=-1) * there[..., None]
