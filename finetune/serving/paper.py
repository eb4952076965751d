"""ECG paper as SVG for a page: the clinical layout, and one row for each lead.

Units are millimetres. Colours are those of the style sheet of the page that holds it, so that the
paper is dark on a dark page; lamae.figures.plots draws the figures of reports, in fixed colours.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from lamae.ecg.leads import LEADS
from lamae.figures.plots import MM_PER_MV, MM_PER_S

SECONDS = 10.0
"""Seconds of a recording that are drawn."""
COLUMNS = (LEADS[:3], LEADS[3:6], LEADS[6:9], LEADS[9:])
"""Leads below each other in each column of the clinical layout."""

_LEFT_MM, _RIGHT_MM, _TOP_MM, _FOOT_MM = 12.0, 3.0, 2.0, 7.0
_ABOVE_MM, _BELOW_MM = (10.0, 25.0), (5.0, 20.0)
_FEW = 3
"""Recordings of so few leads are drawn in whole rows."""
_DOTS_PER_MM = 10
_HEAT_STEPS = 8


class Drawn(NamedTuple):
    """A recording to draw."""

    signal_mv: Mapping[str, np.ndarray]
    """Samples of each lead that was recorded, NaN where one is missing."""
    sampling_rate: int
    """Samples per second."""
    expected_mv: Mapping[str, np.ndarray] = {}
    """Expectation of a model in their place, drawn over them."""
    heat: Mapping[str, np.ndarray] = {}
    """0 to 1 for each field of a lead, shown behind it."""
    field_s: float = 0.1
    """Seconds of a field."""


class _Strip(NamedTuple):
    """A lead, or a part of it, and its place on the paper."""

    lead: str
    x_mm: float
    begin_s: float
    end_s: float


class _Row(NamedTuple):
    """Strips beside each other, with a common baseline."""

    strips: tuple[_Strip, ...]
    top_mm: float
    baseline_mm: float
    bottom_mm: float


def clinical_paper(drawn: Drawn, *, label: str) -> str:
    """Draw three rows of four leads and a rhythm strip; few leads have a row of their own each."""
    recorded = [lead for lead in LEADS if lead in drawn.signal_mv]
    if len(recorded) <= _FEW:
        return lead_rows(drawn, recorded, label=label)
    part_s, width_mm = SECONDS / len(COLUMNS), SECONDS / len(COLUMNS) * MM_PER_S
    rows = [
        tuple(
            _Strip(column[i], number * width_mm, number * part_s, (number + 1) * part_s)
            for number, column in enumerate(COLUMNS)
        )
        for i in range(len(COLUMNS[0]))
    ]
    rhythm = "II" if "II" in recorded else recorded[0]
    return _paper(drawn, [*rows, (_Strip(rhythm, 0.0, 0.0, SECONDS),)], label=label)


def lead_rows(drawn: Drawn, leads: Sequence[str], *, label: str) -> str:
    """Draw each lead in a row of its own."""
    return _paper(drawn, [(_Strip(lead, 0.0, 0.0, SECONDS),) for lead in leads], label=label)


def _paper(drawn: Drawn, strips: Sequence[tuple[_Strip, ...]], *, label: str) -> str:
    rows = _stack(drawn, strips)
    width_mm = _LEFT_MM + SECONDS * MM_PER_S + _RIGHT_MM
    foot_mm = rows[-1].bottom_mm
    parts = [*_grid(width_mm, foot_mm)]
    for row in rows:
        parts += _heat(drawn, row)
        parts.append(_pulse(row))
        parts += [part for strip in row.strips for part in _strip(drawn, strip, row)]
    scale = f"{MM_PER_S:g} mm/s \u00b7 {MM_PER_MV:g} mm/mV"
    parts.append(f'<text class="scale" x="2" y="{foot_mm + 4.6:g}">{scale}</text>')
    size = f'viewBox="0 0 {width_mm:g} {foot_mm + _FOOT_MM:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ecg" {size} role="img" '
        f"aria-label={quoteattr(label)}>{''.join(parts)}</svg>"
    )


def _stack(drawn: Drawn, strips: Sequence[tuple[_Strip, ...]]) -> list[_Row]:
    """Give each row the height that its leads need, in whole fields of 5 mm."""
    rows, top_mm = [], _TOP_MM
    for of_row in strips:
        shown = [_part(drawn.signal_mv.get(s.lead), s, drawn.sampling_rate) for s in of_row]
        values_mm = MM_PER_MV * np.concatenate([*shown, np.zeros(1)])
        above = float(np.clip(5 * np.ceil(0.6 + np.nanmax(values_mm) / 5), *_ABOVE_MM))
        below = float(np.clip(5 * np.ceil(0.2 - np.nanmin(values_mm) / 5), *_BELOW_MM))
        rows.append(_Row(of_row, top_mm, top_mm + above, top_mm + above + below))
        top_mm += above + below
    return rows


def _part(signal_mv: np.ndarray | None, strip: _Strip, rate: int) -> np.ndarray:
    """Return the samples of a strip, with the lead's median at its line; none where it is absent.

    The median is that of all that is drawn of the lead, so that the parts of it fit together.
    """
    if signal_mv is None:
        return np.zeros(0)
    drawn = signal_mv[: round(SECONDS * rate)]
    known = drawn[np.isfinite(drawn)]
    level = float(np.median(known)) if known.size else 0.0
    return drawn[round(strip.begin_s * rate) : round(strip.end_s * rate)] - level


def _grid(width_mm: float, foot_mm: float) -> Iterator[str]:
    yield f'<rect class="ground" width="{width_mm:g}" height="{foot_mm + _FOOT_MM:g}"/>'
    for name, step in (("minor", 1), ("major", 5)):
        columns = [f"M{x:g} {_TOP_MM:g}V{foot_mm:g}" for x in np.arange(2, width_mm - 0.5, step)]
        right = width_mm - 1
        lines = [f"M2 {y:g}H{right:g}" for y in np.arange(_TOP_MM, foot_mm + 0.1, step)]
        yield f'<path class="{name}" d="{"".join([*columns, *lines])}"/>'


def _pulse(row: _Row) -> str:
    """Draw 1 mV for 0.2 s."""
    up = MM_PER_MV
    return f'<path class="trace" d="M4 {row.baseline_mm:g}h1.5v-{up:g}h5v{up:g}h1.5"/>'


def _strip(drawn: Drawn, strip: _Strip, row: _Row) -> Iterator[str]:
    x_mm = _LEFT_MM + strip.x_mm
    name_y = row.top_mm + 4.2
    if strip.lead not in drawn.signal_mv:
        yield f'<text class="lead absent" x="{x_mm + 1:g}" y="{name_y:g}">{strip.lead}'
        yield '<tspan class="scale" dx="1.5">not recorded</tspan></text>'
        return
    level = row.baseline_mm
    if strip.x_mm:  # a new lead begins here
        yield f'<path class="divider" d="M{x_mm:g} {level - 4:g}v8"/>'
    shown = _part(drawn.signal_mv[strip.lead], strip, drawn.sampling_rate)
    kind = "trace under" if strip.lead in drawn.expected_mv else "trace"
    yield f'<path class="{kind}" d="{_outline(shown, drawn.sampling_rate, x_mm, row)}"/>'
    if strip.lead in drawn.expected_mv:
        recorded, expected = drawn.signal_mv[strip.lead], drawn.expected_mv[strip.lead]
        shift = shown - recorded[: len(shown)] if len(shown) else shown
        line = _outline(expected[: len(shown)] + shift, drawn.sampling_rate, x_mm, row)
        yield f'<path class="expected" d="{line}"/>'
    yield f'<text class="lead" x="{x_mm + 1:g}" y="{name_y:g}">{escape(strip.lead)}</text>'


def _outline(values_mv: np.ndarray, rate: int, x_mm: float, row: _Row) -> str:
    """Return the path of samples: moved by hundredths of a millimetre, broken where one lacks.

    Where samples are denser than dots, the lowest and highest of each dot stand for them.
    """
    at = np.arange(len(values_mv))
    if rate > MM_PER_S * _DOTS_PER_MM * 1.5:
        at = _extremes(values_mv, rate)
    x = np.round(100 * (x_mm + at / rate * MM_PER_S)).astype(np.int64)
    y_mm = row.baseline_mm - MM_PER_MV * values_mv[at]
    known = np.isfinite(y_mm)
    y_mm = np.clip(np.where(known, y_mm, 0.0), row.top_mm + 0.5, row.bottom_mm - 0.5)
    y = np.round(100 * y_mm).astype(np.int64)
    parts = []
    for run in np.split(np.arange(len(at)), np.flatnonzero(np.diff(known)) + 1):
        if run.size and known[run[0]]:
            moves = np.diff(np.stack([x[run], y[run]]), axis=1).T.tolist()
            words = " ".join(f"{_number(dx)} {_number(dy)}" for dx, dy in moves) or "0 0"
            parts.append(f"M{x[run[0]] / 100:g} {y[run[0]] / 100:g}l{words}")
    return "".join(parts).replace(" -", "-")


def _extremes(values_mv: np.ndarray, rate: int) -> np.ndarray:
    """Return the places of the lowest and the highest sample of each dot, rising."""
    size = max(int(rate / (MM_PER_S * _DOTS_PER_MM)), 1)
    whole = len(values_mv) // size * size
    blocks = np.nan_to_num(values_mv[:whole]).reshape(-1, size)
    begins = np.arange(len(blocks)) * size
    ends = np.sort(np.stack([blocks.argmin(axis=1), blocks.argmax(axis=1)]), axis=0)
    gaps = np.flatnonzero(~np.isfinite(values_mv))
    return np.unique(np.concatenate([*(begins + ends), gaps, np.arange(whole, len(values_mv))]))


def _number(hundredths: int) -> str:
    """Write hundredths of a millimetre as short as they can be."""
    text = f"{hundredths / 100:g}"
    return text.replace("0.", ".", 1) if abs(hundredths) < 100 else text


def _heat(drawn: Drawn, row: _Row) -> Iterator[str]:
    """Draw the fields of a row in few opacities, one path for each."""
    height = row.bottom_mm - row.top_mm
    width = drawn.field_s * MM_PER_S
    for strip in row.strips:
        levels = np.ceil(np.clip(drawn.heat.get(strip.lead, np.zeros(0)), 0, 1) * _HEAT_STEPS)
        for level in range(1, _HEAT_STEPS + 1):
            at = np.flatnonzero(levels == level)
            boxes = [
                f"M{_LEFT_MM + i * width:g} {row.top_mm:g}h{width:g}v{height:g}h-{width:g}z"
                for i in at.tolist()
            ]
            if boxes:
                opacity = 0.75 * level / _HEAT_STEPS
                yield f'<path class="heat" fill-opacity="{opacity:.2g}" d="{"".join(boxes)}"/>'
