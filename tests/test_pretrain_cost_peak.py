"""The peak is the best of several tries, measured once, and leaves random numbers alone."""

from itertools import chain

import pytest
import torch

from pretrain.cost import peak
from pretrain.cost.peak import matmul_peak, shortest


def test_the_fastest_of_the_counted_calls_counts() -> None:
    calls: list[int] = []
    started, durations = (10.0, 20.0, 30.0), (3.0, 1.5, 2.0)
    pairs = zip(started, durations, strict=True)
    readings = chain.from_iterable((now, now + duration) for now, duration in pairs)
    assert shortest(lambda: calls.append(1), tries=3, clock=lambda: next(readings)) == 1.5
    assert len(calls) == 4  # the first warms up, between no two readings of the clock
    assert next(readings, None) is None


def test_a_peak_is_measured_once_for_each_device_and_precision() -> None:
    device = torch.device("cpu")
    matmul_peak.cache_clear()
    before = torch.get_rng_state()
    first = matmul_peak(device, torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    assert matmul_peak(device, torch.float32) == first
    assert matmul_peak.cache_info().misses == 1
    assert 1e8 < first < 1e14  # a core of today does 1e10 to 1e12


def test_a_peak_is_operations_over_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    matmul_peak.cache_clear()
    monkeypatch.setattr(peak, "shortest", lambda work: work() or 0.5)
    monkeypatch.setitem(peak._SIZES, "cpu", 64)
    assert matmul_peak(torch.device("cpu"), torch.float64) == 2 * 64**3 / 0.5
    matmul_peak.cache_clear()
