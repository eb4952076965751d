"""Intervals and axis against the simulator's truth, and what cannot be measured."""

import builtins
import sys
from typing import Any

import numpy as np
import pytest

from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.ecg.measurements import Measurements, measure_ecg
from lamae.errors import InputError
from shards.simulator.settings import NoiseSettings
from shards.simulator.signals import Simulated, simulate_signals

pytest.importorskip("neurokit2")
SILENT = NoiseSettings(white_mv=0, muscle_mv=0, mains_mv=0, wander_mv=0)


def simulated(codes: list[str], *, noise: NoiseSettings | None = SILENT) -> Simulated:
    return simulate_signals(codes, generator=np.random.default_rng(3), noise=noise)


def measured(found: Simulated) -> list[Measurements]:
    return [measure_ecg(signal, LEADS, sampling_rate=500) for signal in found.signal_mv]


def errors(found: Simulated, name: str) -> np.ndarray:
    values = [getattr(one, name) for one in measured(found)]
    return np.array(values, dtype=float) - getattr(found.intervals, name)


def test_intervals_of_clean_recordings_are_within_10_ms() -> None:
    found = simulated(["sinus", "IAVB", "RBBB", "LQT2"])
    for name in ("pr_ms", "qrs_ms", "qt_ms"):
        assert np.abs(errors(found, name)).max() <= 10, name


def test_rate_correction_and_axis_follow_the_truth() -> None:
    found = simulated(["sinus", "LQT1"])
    for one, rr_ms, axis in zip(
        measured(found), found.intervals.rr_ms, found.intervals.qrs_axis_deg, strict=True
    ):
        assert one.heart_rate_bpm == pytest.approx(60_000 / rr_ms, abs=2)
        assert one.axis_deg == pytest.approx(axis, abs=15)
        assert one.qt_ms is not None and one.qtc_ms is not None
        assert one.qtc_ms == pytest.approx(one.qt_ms / (rr_ms / 1000) ** (1 / 3), rel=0.02)


def test_a_fibrillating_heart_has_no_pr_interval() -> None:
    assert [one.pr_ms for one in measured(simulated(["AF", "AF"]))] == [None, None]


def test_limb_leads_are_computed_and_missing_samples_do_no_harm() -> None:
    found = simulated(["sinus"])
    whole = measure_ecg(found.signal_mv[0], LEADS, sampling_rate=500)
    rows = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    part = found.signal_mv[0][rows].copy()
    part[4, 1000:1050] = np.nan
    eight = measure_ecg(part, INDEPENDENT_LEADS, sampling_rate=500)
    assert eight.axis_deg == pytest.approx(whole.axis_deg, abs=1)
    assert eight.qrs_ms == pytest.approx(whole.qrs_ms, abs=4)


def test_the_axis_needs_two_limb_leads_and_nothing_is_measured_of_a_flat_line() -> None:
    chest = simulated(["sinus"]).signal_mv[0][6:]
    assert measure_ecg(chest, LEADS[6:], sampling_rate=500).axis_deg is None
    assert measure_ecg(np.zeros((12, 5000)), LEADS, sampling_rate=500) == Measurements()
    assert measure_ecg(np.full((12, 5000), np.nan), LEADS, sampling_rate=500) == Measurements()


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    without = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("neurokit2"):
            raise ModuleNotFoundError(name=name)
        return without(name, *args, **kwargs)

    monkeypatch.setitem(sys.modules, "neurokit2", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match="neurokit2"):
        measure_ecg(np.zeros((12, 5000)), LEADS, sampling_rate=500)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [SILENT, None], ids=["clean", "noisy"])
def test_bias_and_spread_are_as_the_documentation_has_them(noise: NoiseSettings | None) -> None:
    codes = ["sinus", "IAVB", "LBBB", "RBBB", "LQT1", "LQT2", "PVC", "PAC", "BRUGADA", "AF"]
    found = simulated(codes * 3, noise=noise)
    for name, bias in (("pr_ms", 6), ("qrs_ms", 6), ("qt_ms", 10)):
        off = errors(found, name)
        off = off[np.isfinite(off)]
        assert abs(np.median(off)) <= bias, name
        assert np.mean(np.abs(off) <= 20) >= 0.85, name
