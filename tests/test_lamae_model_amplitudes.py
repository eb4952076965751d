"""Amplitudes: what the z-score takes away, as numbers, for the leads that are there."""

import math

import torch

from lamae.model.amplitudes import without_scale
from lamae.model.recorded import WHOLE, Recorded


def recordings() -> torch.Tensor:
    return torch.randn(4, 3, 100, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.1


def test_a_recording_is_z_scored_over_all_its_leads() -> None:
    signal = recordings()
    found = without_scale(signal, WHOLE).signal
    mean, deviation = signal.mean(dim=(1, 2)), signal.std(dim=(1, 2), unbiased=False)
    expected = (signal - mean[:, None, None]) / deviation[:, None, None]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_amplitudes_grow_with_the_voltage_and_the_signal_does_not() -> None:
    once, twice = (without_scale(gain * recordings(), WHOLE) for gain in (1, 2))
    torch.testing.assert_close(once.signal, twice.signal, atol=1e-4, rtol=1e-4)
    logs = twice.amplitudes[..., :2] - once.amplitudes[..., :2]
    torch.testing.assert_close(logs, torch.full_like(logs, math.log(2)))
    ratio = twice.amplitudes[..., 2:].sinh() / once.amplitudes[..., 2:].sinh()
    torch.testing.assert_close(ratio, torch.full_like(ratio, 2.0))


def test_a_missing_lead_and_padding_change_nothing_of_the_rest() -> None:
    signal = recordings()
    alone = without_scale(signal[:, :2, :80], WHOLE)
    signal[:, 2] = 0.0
    signal[..., 80:] = 0.0
    present = torch.tensor([[True, True, False]] * 4)
    valid = torch.tensor([[True] * 4 + [False]] * 4)
    found = without_scale(signal, Recorded(present, valid))
    torch.testing.assert_close(found.signal[:, :2, :80], alone.signal)
    torch.testing.assert_close(found.amplitudes[:, :2], alone.amplitudes)
    assert not found.signal[:, 2].any() and not found.signal[..., 80:].any()
    assert not found.amplitudes[:, 2].any()


def test_a_flat_recording_is_left_flat() -> None:
    found = without_scale(torch.ones(1, 2, 50), WHOLE)
    assert not found.signal.any() and found.amplitudes.isfinite().all()
