"""Augmentations: what is changed at random in the recordings that a model learns from.

What is done to each recording is drawn for a whole batch, before it is divided, from a generator
of (seed, step); noise is a function of a drawn key and of a sample's place. So it does not depend
on processes, accumulation or device. A batch is changed on the device after the preprocessor, and
the changed signal is also the target of the autoencoder: it learns to continue what it sees, not
to remove what was added.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lamae.model.recorded import Recorded
from pretrain.settings import AugmentationSettings

_WANDER_HZ = (0.05, 0.5)
"""Respiration and movement of electrodes, below the pass band of diagnostic recordings."""


class Changes(NamedTuple):
    """Changes of each recording of a batch."""

    scale: Float[Tensor, " b"] | None
    """Factor of the amplitude; None where no recording is scaled, and so for the others."""
    noise_rms: Float[Tensor, " b"] | None
    """Root mean square of the noise."""
    noise_key: Int[Tensor, "b 2"]
    """Key that decides the noise: two numbers of 32 bits."""
    wander_rms: Float[Tensor, " b"] | None
    """Root mean square of a period of the wander."""
    wander_cycles: Float[Tensor, " b"]
    """Periods of the wander in a sample."""
    wander_phase: Float[Tensor, "b l"]
    """Periods by which the wander of each lead is shifted."""
    kept: Bool[Tensor, "b l"] | None
    """False for a lead that is lost; at least one is kept."""

    def take(self, records: Int[Tensor, " records"]) -> "Changes":
        """Return the changes of some recordings of the batch."""
        return Changes._make(None if value is None else value[records] for value in self)

    def to(self, device: torch.device) -> "Changes":
        """Return the changes on a device; the copy does not wait where memory is pinned."""
        return Changes._make(None if v is None else v.to(device, non_blocking=True) for v in self)


def draw_changes(
    settings: AugmentationSettings,
    *,
    batch: int,
    leads: int,
    sampling_rate: int,
    generator: torch.Generator,
) -> Changes:
    """Draw the changes of a whole batch.

    As many numbers are drawn whatever the settings are: to turn one augmentation on or off leaves
    the others as they were.
    """
    chance = torch.rand(4, batch, generator=generator)
    factor, pace = torch.rand(2, batch, generator=generator)
    phase, rank = torch.rand(2, batch, leads, generator=generator)
    key = torch.randint(2**32, (batch, 2), generator=generator)
    largest_log = math.log1p(settings.scale_strength)
    scale = ((2 * factor - 1) * largest_log * (chance[0] < settings.scale_probability)).exp()
    noise_rms = settings.noise_strength * (chance[1] < settings.noise_probability)
    wander_rms = settings.wander_strength * (chance[2] < settings.wander_probability)
    lost = (rank < settings.dropout_strength) & (chance[3] < settings.dropout_probability)[:, None]
    slowest_hz, fastest_hz = _WANDER_HZ
    return Changes(
        scale=scale if settings.scale_probability else None,
        noise_rms=noise_rms if settings.noise_probability else None,
        noise_key=key,
        wander_rms=wander_rms if settings.wander_probability else None,
        wander_cycles=(slowest_hz + pace * (fastest_hz - slowest_hz)) / sampling_rate,
        wander_phase=phase,
        kept=~lost | _is_largest(rank) if settings.dropout_probability else None,
    )


def remaining_leads(
    present: Bool[Tensor, "b l"] | None, kept: Bool[Tensor, "b l"] | None
) -> Bool[Tensor, "b l"] | None:
    """Return which leads are present after dropout; None where all are.

    A recording that would be left without any keeps those that it has.
    """
    if present is None or kept is None:
        return kept if present is None else present
    remaining = present & kept
    return torch.where(remaining.any(dim=1, keepdim=True), remaining, present)


def augment(
    signal: Float[Tensor, "b l samples"],
    changes: Changes,
    recorded: Recorded,
) -> Float[Tensor, "b l samples"]:
    """Return the changed signal, with zeros in absent leads and behind short recordings.

    Args:
        signal: normalised by the preprocessor.
        changes: of these recordings.
        recorded: leads that remain after dropout, and the samples of each.
    """
    if changes.scale is not None:
        signal = signal * changes.scale[:, None, None]
    if changes.wander_rms is not None:
        signal = signal + changes.wander_rms[:, None, None] * wander(
            changes.wander_cycles, changes.wander_phase, samples=signal.shape[-1]
        )
    if changes.noise_rms is not None:
        noise = white_noise(changes.noise_key, leads=signal.shape[1], samples=signal.shape[2])
        signal = signal + changes.noise_rms[:, None, None] * noise
    if recorded.present is not None:
        signal = signal.masked_fill(~recorded.present[..., None], 0.0)
    if recorded.samples is not None:
        times = torch.arange(signal.shape[-1], device=signal.device)
        signal = signal.masked_fill((times >= recorded.samples[:, None])[:, None], 0.0)
    return signal


def wander(
    cycles: Float[Tensor, " b"], phase: Float[Tensor, "b l"], *, samples: int
) -> Float[Tensor, "b l samples"]:
    """Return sines of mean square 1 over a period.

    Args:
        cycles: periods in a sample.
        phase: periods by which each lead is shifted.
        samples: length.
    """
    times = torch.arange(samples, device=cycles.device)
    turns = (cycles[:, None] * times)[:, None] + phase[..., None]
    return math.sqrt(2) * torch.sin(2 * math.pi * turns)


def white_noise(
    key: Int[Tensor, "b 2"], *, leads: int, samples: int
) -> Float[Tensor, "b l samples"]:
    """Return standard normal numbers, each a function of the key and its place alone.

    A generator's stream would make a process draw the noise of all others, and differs between
    devices. Here a hash numbers the places, and the inverse of the normal distribution follows.
    """
    places = torch.arange(leads * samples, device=key.device)
    bits = _mix(places ^ key[:, :1])
    bits = _mix(bits.bitwise_xor_(key[:, 1:]))
    between = (bits >> 9).float().add_(0.5).mul_(2**-22).sub_(1)  # exact, and neither -1 nor 1
    return between.erfinv_().mul_(math.sqrt(2)).unflatten(1, (leads, samples))


def _mix(bits: Tensor) -> Tensor:
    """Hash numbers of 32 bits, held as int64, in place: lowbias32 (Wellons 2018, nullprogram.com).

    The second factor is taken below zero, so that no product overflows.
    """
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32)):
        bits ^= bits >> shift
        bits *= factor
        bits &= 2**32 - 1
    bits ^= bits >> 16
    return bits


def _is_largest(values: Tensor) -> Tensor:
    return values == values.amax(dim=1, keepdim=True)
