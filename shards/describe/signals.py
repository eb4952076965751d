"""Signals of a sample of recordings: amplitudes, and agreement of the limb leads."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lamae.ecg.leads import LEADS
from lamae.ecg.record import MISSING, Record

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of a distribution that are shown, beside its number and maximum."""


class SignalMeasures(NamedTuple):
    """Measures of recordings, in no order."""

    peak_to_peak_mv: dict[str, np.ndarray]
    """For each lead its largest less its smallest sample, of each recording that has it."""
    einthoven_uv: np.ndarray
    """Root mean square of I + III - II, of each recording that has these three leads."""


def measure_signals(records: Iterable[Record]) -> SignalMeasures:
    """Measure recordings one after the other; missing samples count for nothing."""
    ranges: dict[str, list[float]] = defaultdict(list)
    residuals = []
    for record in records:
        for lead, row, gain in zip(record.leads, record.digital, record.gain, strict=True):
            known = row[row != MISSING]
            if known.size:
                ranges[lead].append((int(known.max()) - int(known.min())) / gain)
        residual_uv = einthoven_residual_uv(record)
        if residual_uv is not None:
            residuals.append(residual_uv)
    found = {lead: np.array(ranges[lead]) for lead in LEADS if lead in ranges}
    return SignalMeasures(found, np.array(residuals))


def einthoven_residual_uv(record: Record) -> float | None:
    """Return the root mean square of I + III - II in microvolt, which Einthoven's law makes 0.

    None for a recording that lacks one of the three leads, or has no sample in common to all.
    """
    if not {"I", "II", "III"} <= set(record.leads):
        return None
    rows = [record.leads.index(lead) for lead in ("I", "II", "III")]
    digital = record.digital[rows]
    known = (digital != MISSING).all(axis=0)
    if not known.any():
        return None
    baseline, gain = (np.array(v, float)[rows, None] for v in (record.baseline, record.gain))
    i, ii, iii = (digital[:, known] - baseline) / gain
    return float(1000 * np.sqrt(np.mean((i + iii - ii) ** 2)))


def distribution(values: np.ndarray) -> dict[str, Any]:
    """Return number, quantiles and maximum of values; the number alone where there are none."""
    if not values.size:
        return {"records": 0}
    quantiles = np.quantile(values, QUANTILES)
    named = {f"p{100 * q:g}": _rounded(v) for q, v in zip(QUANTILES, quantiles, strict=True)}
    return {"records": int(values.size), **named, "max": _rounded(values.max())}


def describe_measures(measures: SignalMeasures) -> Mapping[str, Any]:
    """Return the distributions of all measures."""
    return {
        "peak_to_peak_mv": {k: distribution(v) for k, v in measures.peak_to_peak_mv.items()},
        "einthoven_uv": distribution(measures.einthoven_uv),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
