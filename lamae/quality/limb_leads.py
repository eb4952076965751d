"""Checks of the limb leads by Einthoven's and Goldberger's equations.

Two electrode potentials against the third make six leads, so four equations hold at every moment
(Malmivuo and Plonsey, Bioelectromagnetism, 1995, chapter 15).
"""

from dataclasses import replace
from functools import cache
from itertools import permutations
from typing import NamedTuple

import numpy as np

from lamae.ecg.leads import LEAD_GROUPS, LEADS, derive_limb_lead
from lamae.ecg.record import MISSING, Record
from lamae.quality.levels import Finding, Levels, measure
from lamae.quality.settings import LimbLeadsInconsistent, QualitySettings

_LIMB = LEAD_GROUPS["limb"]
_AVR = _LIMB.index("aVR")
_TYPICAL = 0.99
_ROUNDING_MV = 1e-3
"""A residual that rounding alone can leave."""


class Disagreement(NamedTuple):
    """Distance of limb leads from the values that two of them give."""

    typical_mv: float
    """99 % of the samples of every lead are nearer."""
    peak_mv: float
    """All are nearer or at this."""

    def __str__(self) -> str:
        """Say both."""
        return f"up to {self.peak_mv:.3g} mV, {self.typical_mv:.3g} mV in 99 % of the samples"


class Arrangements(NamedTuple):
    """Ways in which rows could hold the limb leads; the first is as they are labelled."""

    row: np.ndarray
    """int (arrangements, 6): number in `LEADS` of the row that holds each limb lead."""
    sign: np.ndarray
    """(arrangements, 6): -1 where it holds it upside down, else 1."""


def find_leads_swapped(record: Record, levels: Levels, quality: QualitySettings) -> Finding | None:
    """Find rows that obey the equations in another order than labelled."""
    tolerance = quality.limb_leads_inconsistent
    moving = {lead for lead, moves in zip(record.leads, levels.moving, strict=True) if moves}
    if not set(_LIMB) <= moving or disagreement(record, levels, tolerance) is None:
        return None
    rows = np.flatnonzero(levels.moving).tolist()
    fitting = _fitting(record, rows, quality.leads_swapped.min_advantage)
    arrangements = _arrangements()
    if 0 in fitting:
        return None
    repairs = [
        _rearranged(record, arrangements.row[i], arrangements.sign[i].tolist()) for i in fitting
    ]
    if disagreement(repairs[0], measure(repairs[0]), tolerance) is not None:
        return None
    said = [_said(arrangements.row[i], arrangements.sign[i]) for i in fitting]
    expected = "the limb leads in the rows of their names"
    if len(said) > 1:
        return Finding(f"either {' or '.join(said)}", expected)
    return Finding(said[0], expected, lambda: repairs[0], "put in order")


def find_limb_leads_inconsistent(
    record: Record, levels: Levels, quality: QualitySettings
) -> Finding | None:
    """Find limb leads that violate the equations as they are labelled."""
    tolerance = quality.limb_leads_inconsistent
    found = disagreement(record, levels, tolerance)
    if found is None:
        return None
    expected = f"up to {tolerance.max_peak_mv:g} mV, {tolerance.max_typical_mv:g} mV in 99 %"
    return Finding(f"the limb leads contradict each other by {found}", expected)


def disagreement(
    record: Record, levels: Levels, tolerance: LimbLeadsInconsistent
) -> Disagreement | None:
    """Return by how much limb leads violate the equations, None within tolerance.

    Leads that stand still are left out; fewer than three cannot disagree.
    """
    residual_mv = _residual_mv(record, levels)
    peak_mv = 0.0 if residual_mv is None else float(residual_mv.max(initial=0))
    if residual_mv is None or peak_mv <= min(tolerance.max_typical_mv, tolerance.max_peak_mv):
        return None
    found = _disagreement(residual_mv)
    if found.typical_mv <= tolerance.max_typical_mv and peak_mv <= tolerance.max_peak_mv:
        return None
    return found


def measured_disagreement(record: Record, levels: Levels) -> Disagreement | None:
    """Return by how much limb leads violate the equations; None where they cannot disagree."""
    residual_mv = _residual_mv(record, levels)
    return _disagreement(residual_mv) if residual_mv is not None and residual_mv.size else None


def _residual_mv(record: Record, levels: Levels) -> np.ndarray | None:
    rows = [i for i, lead in enumerate(record.leads) if lead in _LIMB and levels.moving[i]]
    if len(rows) < 3:
        return None
    signal_mv = _known_signal_mv(record, rows)
    return np.abs(_equations(tuple(record.leads[row] for row in rows)) @ signal_mv)


def _disagreement(residual_mv: np.ndarray) -> Disagreement:
    typical_mv = np.quantile(residual_mv, _TYPICAL, axis=1).max()
    return Disagreement(float(typical_mv), float(residual_mv.max()))


def _known_signal_mv(record: Record, rows: list[int]) -> np.ndarray:
    """Return some rows in mV, float32 (rows, samples), where none of them is missing."""
    digital = record.digital[rows]
    missing = digital == MISSING
    if missing.any():
        digital = digital[:, ~missing.any(axis=0)]
    baseline = np.array([[record.baseline[row]] for row in rows], dtype=np.float32)
    gain = np.array([[record.gain[row]] for row in rows], dtype=np.float32)
    return (digital.astype(np.float32) - baseline) / gain


@cache
def _equations(leads: tuple[str, ...]) -> np.ndarray:
    """Return float32 (leads - 2, leads): each lead less what the first two of them make it."""
    weights = np.array([derive_limb_lead(lead, np.eye(2), ("I", "II")) for lead in leads])
    derived = weights[2:] @ np.linalg.inv(weights[:2])
    return np.hstack([-derived, np.eye(len(leads) - 2)]).astype(np.float32)


@cache
def _arrangements() -> Arrangements:
    """Return the arrangements that can be told apart.

    No two orders of the six rows with aVR either way up, but some orders with other leads upside
    down, obey the equations together.
    """
    orders = np.array(list(permutations(range(6))))
    identity = np.arange(6)
    inverted_avr = np.where(identity == _AVR, -1, 1)
    others = [i for i in range(6) if i != _AVR]
    single = np.where(np.eye(6, dtype=bool)[others], -1, 1)
    exchanged = np.tile(identity, (36, 1))
    exchanged[np.arange(36), np.arange(36) // 6] = 6 + np.arange(36) % 6
    row = np.concatenate([orders, orders, np.tile(identity, (len(single), 1)), exchanged])
    upright = np.ones_like(orders)
    sign = np.concatenate([upright, upright * inverted_avr, single, np.ones_like(exchanged)])
    return Arrangements(row, sign)


def _fitting(record: Record, rows: list[int], advantage: float) -> list[int]:
    """Return the arrangements of some rows, best first, that fit about as well as the best."""
    signal_mv = _known_signal_mv(record, rows).astype(np.float64)
    if not signal_mv.shape[1]:
        return [0]
    places = [LEADS.index(record.leads[row]) for row in rows]
    moments = np.full((len(LEADS), len(LEADS)), np.inf)
    moments[np.ix_(places, places)] = signal_mv @ signal_mv.T / signal_mv.shape[1]
    row, sign = _arrangements()
    usable = np.flatnonzero(np.isfinite(np.diag(moments))[row].all(axis=1))
    row, sign = row[usable], sign[usable]
    equations = _equations(_LIMB).astype(np.float64)
    weights = (equations.T @ equations) * sign[:, :, None] * sign[:, None, :]
    squares = (weights * moments[row[:, :, None], row[:, None, :]]).sum(axis=(1, 2))
    rms_mv = np.sqrt(np.maximum(squares, 0) / len(equations))
    order = np.argsort(rms_mv, kind="stable")
    limit_mv = advantage * max(float(rms_mv[order[0]]), _ROUNDING_MV)
    return [int(usable[i]) for i in order if rms_mv[i] <= limit_mv]


def _rearranged(record: Record, row: np.ndarray, sign: list[int]) -> Record:
    """Give every lead the row that holds it."""
    source = dict(zip(_LIMB, (LEADS[i] for i in row), strict=True))
    displaced = next((lead for lead in _LIMB if lead not in source.values()), None)
    source |= {taken: displaced for taken in source.values() if displaced and taken not in _LIMB}
    rows = [record.leads.index(source.get(lead, lead)) for lead in record.leads]
    signs = dict(zip(_LIMB, sign, strict=True))
    return replace(
        record,
        digital=record.digital[rows],
        gain=tuple(
            record.gain[i] * signs.get(lead, 1) for i, lead in zip(rows, record.leads, strict=True)
        ),
        baseline=tuple(record.baseline[i] for i in rows),
    )


def _said(row: np.ndarray, sign: np.ndarray) -> str:
    """Say what an arrangement changes."""
    said = []
    for lead, taken, up in zip(_LIMB, (LEADS[i] for i in row), sign, strict=True):
        if taken != lead:
            said.append(f"{lead} in the row of {taken}{'' if up > 0 else ', upside down'}")
        elif up < 0:
            said.append(f"{lead} upside down")
    return ", ".join(said)
