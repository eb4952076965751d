"""Figures: ECG paper, learning curves and intervals, as SVG or PNG, without global state."""

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

import matplotlib
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator

from lamae.errors import InputError
from lamae.files import open_whole

MM_PER_S = 25.0
"""Paper speed of a standard ECG."""
MM_PER_MV = 10.0
"""Gain of a standard ECG."""
FOOT_MM = 9.0  # below the paper, for the scale
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Okabe and Ito's colours, which readers with any colour vision can tell apart."""
Interval = tuple[float, float, float]
"""An estimate, then the lower and the upper end of its interval."""

INK, MUTED, _FAINT = "#1b1f24", "#59636e", "#dfe3e8"
"""Of traces and text, and of what stands behind them."""
_PAPER, _GRID_1_MM, _GRID_5_MM, _HIDDEN = "#fffafa", "#fae3e3", "#efb9b9", "#3f5f86"
_MARKERS = "osD^"
_WEB_FONTS = "system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"

STYLE: dict[Any, Any] = {
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), MUTED),
    **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.spines.right", "axes.spines.top", "legend.frameon"), False),
    "axes.axisbelow": True,
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "grid.color": _FAINT,
    "legend.fontsize": 9.5,
    "path.simplify_threshold": 0.2,  # in 1/72 inch: 0.07 mm, less than a trace is wide
    "svg.fonttype": "none",
    "svg.hashsalt": "lamae",
    "text.color": INK,
    "text.parse_math": False,
}
"""Style of every figure, by `matplotlib.rc_context`."""

_LOSSES = MappingProxyType({"train/loss": "training", "val/loss": "validation"})
_TRACES = MappingProxyType({"recorded": (INK, 0.9), "reconstructed": (COLOURS[0], 1.4)})
"""Colour and line width."""
_LEFT_MM, _RIGHT_MM, _TITLE_MM, _LEGEND_MM = 25.0, 5.0, 8.0, 8.0
_ABOVE_MM, _BELOW_MM = (10.0, 30.0), (5.0, 30.0)


class _Row(NamedTuple):
    lead: str
    bottom_mm: float
    baseline_mm: float
    top_mm: float


@matplotlib.rc_context(STYLE)
def ecg_paper(
    signal_mv: Float[np.ndarray, "leads samples"],
    leads: Sequence[str],
    *,
    sampling_rate: int,
    reconstruction_mv: Float[np.ndarray, "leads samples"] | None = None,
    hidden: Bool[np.ndarray, "leads samples"] | None = None,
    title: str = "",
    seconds: float | None = 10.0,
) -> Figure:
    """Draw leads below each other on paper of exactly 25 mm/s and 10 mm/mV.

    Args:
        signal_mv: recorded trace in millivolt; NaN leaves a gap.
        leads: names of the rows.
        sampling_rate: samples per second.
        reconstruction_mv: drawn over the trace where `hidden`, or everywhere without `hidden`:
            a masked autoencoder learns to predict only what it did not see.
        hidden: True where the model did not see the sample; shaded.
        title: one line over the paper.
        seconds: how much to draw, from the start; None draws all.

    A row is as high as its lead needs, 15 to 60 mm; what exceeds 3 mV is cut off.
    Raises InputError where there is nothing to draw or not one name for each lead.
    """
    _check_drawable(signal_mv, leads)
    stop = signal_mv.shape[1] if seconds is None else max(1, round(seconds * sampling_rate))
    traces = {"recorded": signal_mv[:, :stop]}
    if reconstruction_mv is not None:
        shown = reconstruction_mv if hidden is None else np.where(hidden, reconstruction_mv, np.nan)
        traces["reconstructed"] = shown[:, :stop]
    rows = _stack_rows(np.concatenate(list(traces.values()), axis=1), leads)
    top_mm = rows[0].top_mm
    duration_s = traces["recorded"].shape[1] / sampling_rate
    has_legend = len(traces) > 1 or hidden is not None
    height_mm = top_mm + 3 + _TITLE_MM * bool(title) + _LEGEND_MM * has_legend
    width_mm = _LEFT_MM + MM_PER_S * duration_s + _RIGHT_MM
    figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width_mm), ylim=(0, height_mm))
    draw_paper(axes, width_mm, top_mm)
    handles = [_draw_trace(axes, name, mv, rows, sampling_rate) for name, mv in traces.items()]
    if hidden is not None:
        handles.append(_shade(axes, hidden[:, :stop], rows, sampling_rate))
    _draw_calibration(axes, rows)
    _draw_scale(axes, duration_s)
    axes.text(3, height_mm - 7, title, fontsize=11, fontweight="bold")
    if has_legend:
        place = (1.5 / width_mm, (top_mm + 4) / height_mm)
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=place, ncols=3)
    figure.set_label(f"Electrocardiogram, {duration_s:g} s of {', '.join(leads)}. {title}".strip())
    return figure


def _check_drawable(signal_mv: np.ndarray, leads: Sequence[str]) -> None:
    if signal_mv.size == 0 or len(leads) != len(signal_mv):
        raise InputError(
            "ECG to draw",
            value=f"{len(leads)} names for a signal of shape {signal_mv.shape}",
            expected="at least one lead and one sample, and a name for each lead",
            remedy="Give leads x samples, and the names in the order of the rows.",
        )


def _stack_rows(signal_mv: np.ndarray, leads: Sequence[str]) -> list[_Row]:
    """Stack rows from the lower edge upwards; the first lead comes out first and on top."""
    rows = []
    bottom_mm = FOOT_MM
    for lead, values in zip(leads[::-1], signal_mv[::-1], strict=True):
        finite_mm = MM_PER_MV * values[np.isfinite(values)]
        below = np.clip(5 * np.ceil(0.2 - finite_mm.min(initial=0.0) / 5), *_BELOW_MM)
        above = np.clip(5 * np.ceil(0.2 + finite_mm.max(initial=0.0) / 5), *_ABOVE_MM)
        top_mm = float(bottom_mm + below + above)
        rows.append(_Row(lead, bottom_mm, float(bottom_mm + below), top_mm))
        bottom_mm = top_mm
    return rows[::-1]


def draw_paper(axes: Axes, width_mm: float, top_mm: float) -> None:
    """Draw the grid of ECG paper on axes whose unit is a millimetre on the figure."""
    axes.set_axis_off()
    axes.add_patch(Rectangle((0, FOOT_MM), width_mm, top_mm - FOOT_MM, facecolor=_PAPER))
    for step_mm, colour, linewidth in ((1, _GRID_1_MM, 0.4), (5, _GRID_5_MM, 0.6)):
        x_mm = np.arange(0, width_mm + 1e-6, step_mm)
        y_mm = np.arange(FOOT_MM, top_mm + 1e-6, step_mm)
        lines = [[(x, FOOT_MM), (x, top_mm)] for x in x_mm]
        lines += [[(0, y), (width_mm, y)] for y in y_mm]
        # One path for all lines: a collection would write one element for each.
        outline = Outline(np.reshape(lines, (-1, 2)), [Outline.MOVETO, Outline.LINETO] * len(lines))
        axes.add_patch(PathPatch(outline, fill=False, edgecolor=colour, linewidth=linewidth))


def _shade(axes: Axes, hidden: np.ndarray, rows: Sequence[_Row], sampling_rate: int) -> Artist:
    boxes = []
    for row, flags in zip(rows, hidden, strict=True):
        edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
        for start, stop in _LEFT_MM + MM_PER_S / sampling_rate * edges.reshape(-1, 2):
            low, high = row.bottom_mm + 0.4, row.top_mm - 0.4
            boxes.append([(start, low), (start, high), (stop, high), (stop, low), (start, low)])
    codes = [Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY] * len(boxes)
    outline = Outline(np.reshape(boxes, (-1, 2)), codes)
    patch = PathPatch(outline, facecolor=_HIDDEN, alpha=0.13, lw=0, label="hidden from the model")
    return axes.add_patch(patch)


def _draw_trace(
    axes: Axes, name: str, trace_mv: np.ndarray, rows: Sequence[_Row], sampling_rate: int
) -> Artist:
    color, width = _TRACES[name]
    x_mm = _LEFT_MM + MM_PER_S / sampling_rate * np.arange(trace_mv.shape[1])
    baselines_mm = np.array([row.baseline_mm for row in rows])
    lines = axes.plot(
        x_mm, baselines_mm + MM_PER_MV * trace_mv.T, color=color, lw=width, label=name
    )
    for line, row in zip(lines, rows, strict=True):
        size_mm = axes.get_xlim()[1], row.top_mm - row.bottom_mm
        line.set_clip_path(Rectangle((0, row.bottom_mm), *size_mm, transform=axes.transData))
    return lines[0]


def _draw_calibration(axes: Axes, rows: Sequence[_Row]) -> None:
    """Write each lead's name and draw 1 mV for 0.2 s."""
    for lead, _, baseline_mm, _ in rows:
        x_mm = np.array([12.5, 15, 15, 20, 20, 22.5])
        y_mm = baseline_mm + MM_PER_MV * np.array([0, 0, 1, 1, 0, 0])
        axes.plot(x_mm, y_mm, color=INK, linewidth=1.0, solid_joinstyle="miter")
        axes.text(3, baseline_mm + 5, lead, fontweight="bold", va="center", fontsize=11)


def _draw_scale(axes: Axes, duration_s: float) -> None:
    for second in range(int(duration_s) + 1):
        x_mm = _LEFT_MM + MM_PER_S * second
        axes.plot([x_mm, x_mm], [FOOT_MM - 1.2, FOOT_MM], color=MUTED, linewidth=0.8)
        place_mm = x_mm, FOOT_MM - 2.2
        axes.text(*place_mm, f"{second} s", ha="center", va="top", fontsize=9, color=MUTED)
    scale = f"{MM_PER_S:g} mm/s\n{MM_PER_MV:g} mm/mV"
    axes.text(3, FOOT_MM - 1.2, scale, va="top", fontsize=7.5, color=MUTED, linespacing=1.1)


@matplotlib.rc_context(STYLE)
def learning_curve(
    rows: Sequence[Mapping[str, Any]], *, x: str = "step", series: Mapping[str, str] = _LOSSES
) -> Figure:
    """Draw what a run logged against `x`; a row need not hold every key.

    Args:
        rows: the rows of `metrics.jsonl`.
        x: the key of the horizontal axis.
        series: the name of each key to draw; training and validation loss by default.

    Raises InputError where no row holds any of the keys.
    """
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for i, (key, name) in enumerate(series.items()):
        points = np.array([(row[x], row[key]) for row in rows if row.get(key) is not None])
        if points.size:
            marker = _MARKERS[i % 4] if len(points) <= 60 else ""
            axes.plot(*points.T, f"{marker}-", color=COLOURS[i % 4], ms=4.5, lw=1.4, label=name)
    if not axes.lines:
        raise InputError(
            "learning curve",
            value=f"{len(rows)} rows without {' or '.join(series)}",
            expected="at least one row with one of them",
            remedy="Train for longer than one logging interval, or name the keys to draw.",
        )
    axes.grid(axis="y")
    axes.set(xlabel=x, ylabel="loss" if all("loss" in key for key in series) else "", xmargin=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.legend(loc="best")
    figure.set_label(f"Learning curve: {', '.join(series.values())} against {x}")
    return figure


@matplotlib.rc_context(STYLE)
def interval_plot(rows: Sequence[tuple[str, Mapping[str, Interval]]], *, xlabel: str) -> Figure:
    """Draw a forest plot: for each named row the interval of each model.

    Args:
        rows: from top to bottom, each with the same models; the first, of all, is set apart.
        xlabel: what the intervals are of.

    An interval that is not a number is left out.
    """
    models = list(rows[0][1])
    height = 0.9 + len(rows) * (0.14 + 0.16 * len(models))
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.add_subplot()
    for i, model in enumerate(models):
        shift = (i - (len(models) - 1) / 2) * 0.5 / len(models)
        y = shift + np.arange(len(rows))
        estimate, low, high = np.array([intervals[model] for _, intervals in rows], float).T
        axes.hlines(y, low, high, color=COLOURS[i % 4], linewidth=1.8)
        axes.plot(estimate, y, _MARKERS[i % 4], color=COLOURS[i % 4], ms=6, label=model)
    axes.axhline(0.5, color=MUTED, linewidth=0.8)
    axes.set(xlabel=xlabel, ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), labels=[name for name, _ in rows])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(models))
    figure.set_label(f"{xlabel} of {' and '.join(models)}, with intervals; {len(rows)} rows")
    return figure


@matplotlib.rc_context(STYLE)
def as_svg(figure: Figure) -> str:
    """Return an `<svg>` element to put into an HTML page, the same for the same figure.

    It refers to nothing outside of it, and its ids differ from those of other figures.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg")
    _, tag, svg = file.getvalue().strip().partition("<svg")
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bd="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    svg = svg.replace("'DejaVu Sans'", _WEB_FONTS)
    prefix = "f" + hashlib.sha256(svg.encode()).hexdigest()[:10]
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    label = quoteattr(str(figure.get_label()))
    return f'{tag} role="img" aria-label={label}{svg}'


@matplotlib.rc_context(STYLE)
def save_png(figure: Figure, path: Path, *, dots_per_inch: int = 150) -> None:
    """Write a PNG, whole or not at all, on a white ground."""
    with open_whole(path) as file:
        figure.savefig(file, format="png", dpi=dots_per_inch)
