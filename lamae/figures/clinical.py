"""A 12-lead ECG as clinicians read it: 3 x 4 leads and a rhythm strip, on calibrated paper."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline

from lamae.ecg.leads import LEADS, derive_limb_lead
from lamae.ecg.measurements import Measurements
from lamae.errors import InputError
from lamae.figures.plots import (
    COLOURS,
    FOOT_MM,
    INK,
    MM_PER_MV,
    MM_PER_S,
    MUTED,
    STYLE,
    draw_paper,
)

SECONDS = 10.0
"""Length of the rhythm strip; each of the four columns shows a quarter of it."""
RHYTHM_LEAD = "II"
"""Usual lead of the rhythm strip."""
NOT_MEASURED = "-"
"""Written for what is not known or could not be measured."""

_COLUMNS = 4
_COLUMN_S = SECONDS / _COLUMNS
_LEFT_MM, _RIGHT_MM = 12.0, 3.0
_ROW_MM, _HEADER_MM, _REACH_MV = 30.0, 15.0, 2.0
_GRID = tuple(LEADS[start : start + 3] for start in range(0, len(LEADS), 3))
"""Leads of each column, from top to bottom."""


class Shading(NamedTuple):
    """Parts of leads that are shaded, as those that a classifier rests on."""

    leads: Sequence[str]
    """Names of the rows."""
    strength: Float[np.ndarray, "leads parts"]
    """From 0, not shaded, to 1, of parts of equal length from the start of the recording."""
    part_s: float
    """Length of a part in seconds."""


@matplotlib.rc_context(STYLE)
def clinical_ecg(
    signal_mv: Float[np.ndarray, "leads samples"],
    leads: Sequence[str],
    *,
    sampling_rate: int,
    title: str = "",
    details: str = "",
    shading: Shading | None = None,
    rhythm_lead: str = RHYTHM_LEAD,
) -> Figure:
    """Draw 3 x 4 leads of 2.5 s each, in time behind each other, and one lead for 10 s below.

    Args:
        signal_mv: recorded trace in millivolts; NaN leaves a gap. Its first 10 s are drawn, each
            lead from its median.
        leads: canonical names of the rows.
        sampling_rate: samples per second.
        title: first line over the paper.
        details: second line, as `measured_line` writes it.
        shading: parts to shade.
        rhythm_lead: lead of the strip below.

    The paper is of exactly 25 mm/s and 10 mm/mV. Limb leads that the recording lacks are computed
    from two others and marked; a lead that it has not is named as such. What is over 2 mV is cut
    off, and a line says so. Raises InputError where there is nothing to draw.
    """
    if signal_mv.size == 0 or len(leads) != len(signal_mv):
        raise InputError(
            "ECG to draw",
            value=f"{len(leads)} names for a signal of shape {signal_mv.shape}",
            expected="at least one lead and one sample, and a name for each lead",
            remedy="Give leads x samples, and the names in the order of the rows.",
        )
    shown = np.asarray(signal_mv[:, : round(SECONDS * sampling_rate)], dtype=float)
    rows, computed = _twelve(shown, leads)
    top_mm = FOOT_MM + 4 * _ROW_MM
    width_mm = _LEFT_MM + MM_PER_S * SECONDS + _RIGHT_MM
    height_mm = top_mm + _HEADER_MM
    figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width_mm), ylim=(0, height_mm))
    draw_paper(axes, width_mm, top_mm)
    cells = [
        (lead, column * _COLUMN_S, (column + 1) * _COLUMN_S, top_mm - (row + 0.5) * _ROW_MM)
        for column, names in enumerate(_GRID)
        for row, lead in enumerate(names)
    ]
    cells.append((rhythm_lead, 0.0, SECONDS, FOOT_MM + 0.5 * _ROW_MM))
    cut = False
    for lead, start_s, stop_s, baseline_mm in cells:
        if shading is not None and lead in shading.leads:
            _shade(axes, shading, lead, (start_s, stop_s), baseline_mm)
        cut |= _draw_lead(axes, rows.get(lead), (start_s, stop_s), baseline_mm, sampling_rate)
        note = "" if lead in rows else "not recorded"
        _name(axes, lead, "computed" if lead in computed else note, start_s, baseline_mm)
    for row in range(4):
        _draw_calibration(axes, FOOT_MM + (row + 0.5) * _ROW_MM)
    scale = f"{MM_PER_S:g} mm/s, {MM_PER_MV:g} mm/mV" + f", cut at {_REACH_MV:g} mV" * cut
    axes.text(3, FOOT_MM - 2, scale, va="top", fontsize=9, color=MUTED)
    axes.text(3, top_mm + 9, title, fontsize=11, fontweight="bold")
    axes.text(3, top_mm + 3, details, fontsize=10)
    figure.set_label(
        f"Electrocardiogram of {', '.join(rows)}, 3 x 4 with rhythm strip. {title}. {details}"
    )
    return figure


def measured_line(
    measured: Measurements | None, *, age: str | None = None, sex: str | None = None
) -> str:
    """Return age, sex, rate, intervals and axis as one line, a dash for each that is not known.

    QT and QTc are approximate, and marked so: see docs/explanation/statistics.md.
    """
    found = measured or Measurements()
    return " \N{MIDDLE DOT} ".join(
        (
            f"Age {age or NOT_MEASURED}",
            f"Sex {sex or NOT_MEASURED}",
            f"Rate {_rounded(found.heart_rate_bpm, '/min')}",
            f"PR {_rounded(found.pr_ms, ' ms')}",
            f"QRS {_rounded(found.qrs_ms, ' ms')}",
            f"QT {_rounded(found.qt_ms, ' ms', '~')}",
            f"QTc (Fridericia) {_rounded(found.qtc_ms, ' ms', '~')}",
            f"Axis {_rounded(found.axis_deg, '°')}",
        )
    )


def _rounded(value: float | None, unit: str, mark: str = "") -> str:
    if value is None:
        return NOT_MEASURED
    return f"{mark}{round(value)}{unit}".replace("-", "\N{MINUS SIGN}")


def _twelve(
    signal_mv: np.ndarray, leads: Sequence[str]
) -> tuple[Mapping[str, np.ndarray], frozenset[str]]:
    """Return the leads that there are, each from its median, and which of them are computed."""
    recorded = [i for i, row in enumerate(signal_mv) if np.isfinite(row).any()]
    known, names = signal_mv[recorded], [leads[i] for i in recorded]
    rows = {name: row - np.nanmedian(row) for name, row in zip(names, known, strict=True)}
    computed = set()
    for lead in LEADS:
        row = None if lead in rows else derive_limb_lead(lead, known, names)
        if row is not None:
            rows[lead] = row - np.nanmedian(row)
            computed.add(lead)
    return {lead: rows[lead] for lead in LEADS if lead in rows}, frozenset(computed)


def _draw_lead(
    axes: Axes,
    row: np.ndarray | None,
    span_s: tuple[float, float],
    baseline_mm: float,
    sampling_rate: int,
) -> bool:
    """Draw a lead from one time to another; say whether some of it is cut off."""
    if row is None:
        return False
    start, stop = (round(second * sampling_rate) for second in span_s)
    part = row[start:stop]
    x_mm = _LEFT_MM + MM_PER_S / sampling_rate * (start + np.arange(len(part)))
    y_mm = baseline_mm + MM_PER_MV * np.clip(part, -_REACH_MV, _REACH_MV)
    axes.plot(x_mm, y_mm, color=INK, lw=0.9, label="recorded")
    return bool(np.any(np.abs(part[np.isfinite(part)]) > _REACH_MV))


def _shade(
    axes: Axes, shading: Shading, lead: str, span_s: tuple[float, float], baseline_mm: float
) -> None:
    strength = shading.strength[list(shading.leads).index(lead)]
    for part, value in enumerate(strength):
        start_s = max(span_s[0], part * shading.part_s)
        stop_s = min(span_s[1], (part + 1) * shading.part_s)
        if value > 0 and stop_s > start_s:
            corner = _LEFT_MM + MM_PER_S * start_s, baseline_mm - 0.45 * _ROW_MM
            size = MM_PER_S * (stop_s - start_s), 0.9 * _ROW_MM
            axes.add_patch(
                Rectangle(corner, *size, facecolor=COLOURS[1], alpha=0.6 * float(value), lw=0)
            )


def _name(axes: Axes, lead: str, note: str, start_s: float, baseline_mm: float) -> None:
    x_mm = _LEFT_MM + MM_PER_S * start_s + 1.0
    place = x_mm, baseline_mm + 0.36 * _ROW_MM
    axes.text(*place, lead, fontweight="bold", fontsize=11)
    if note:
        axes.text(x_mm + 11, place[1], note, fontsize=8.5, color=MUTED)
    if start_s:  # a tick where one lead ends and the next begins
        ends = [(x_mm - 1, baseline_mm + 3), (x_mm - 1, baseline_mm - 3)]
        axes.add_patch(PathPatch(Outline(ends), fill=False, edgecolor=INK, lw=0.8))


def _draw_calibration(axes: Axes, baseline_mm: float) -> None:
    """Draw 1 mV for 0.2 s."""
    x_mm = np.array([3.0, 4.5, 4.5, 9.5, 9.5, 11.0])
    y_mm = baseline_mm + MM_PER_MV * np.array([0, 0, 1, 1, 0, 0])
    axes.plot(x_mm, y_mm, color=INK, lw=1.0, solid_joinstyle="miter", label="1 mV, 0.2 s")
