"""The scale of a recording: z-score it, and keep its voltages as numbers."""

from typing import NamedTuple

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor

from lamae.model.recorded import Recorded

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


def without_scale(signal: Float[Tensor, "b l samples"], recorded: Recorded) -> Scaled:
    """Part recordings in mV, with zeros in absent leads and padding, into shape and scale."""
    counted = _counted(signal, recorded)
    counts = counted.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    mean = (signal * counted).sum(dim=(1, 2), keepdim=True) / counts
    centred = (signal - mean) * counted
    deviation = (centred.square().sum(dim=(1, 2), keepdim=True) / counts).sqrt()
    deviation = torch.where(deviation > _SMALLEST_MV, deviation, torch.ones_like(deviation))
    return Scaled(centred / deviation, _amplitudes(centred, counted, deviation))


def _counted(signal: Tensor, recorded: Recorded) -> Tensor:
    """Return 1 for each recorded sample of a lead that is there, else 0."""
    counted = torch.ones_like(signal)
    if recorded.present is not None:
        counted = counted * recorded.present[..., None]
    if recorded.valid is not None:
        size = signal.shape[-1] // recorded.valid.shape[-1]
        counted = counted * repeat(recorded.valid, "b n -> b 1 (n p)", p=size)
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
