"""Heat map of a recording's deviations over time and leads on ECG paper; and curves of scores."""

from collections.abc import Mapping
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from finetune.anomaly.detector.detectors import Detector, deviations
from lamae.batches.dataset import Split
from lamae.ecg.windows import covering_windows
from lamae.figures.plots import COLOURS, MUTED, STYLE, ecg_paper
from lamae.statistics.ranked_counts import ranked_counts

SECONDS = 10.0
"""Length of a recording that is drawn."""

BIN_S = 0.1
"""Seconds of a field of the heat map."""

_FIELD_MM = (-5.0, 10.0)
"""From the baseline of a lead; no row of the paper is lower."""
_HEAT = LinearSegmentedColormap.from_list("deviation", [(1, 0.55, 0, 0), (0.85, 0.1, 0, 0.75)])
_BINS = 60
_SHOWN_PERCENTILE = 99.0


class Stitched(NamedTuple):
    """The begin of a recording, joined from windows."""

    signal_mv: Float[np.ndarray, "leads samples"]
    """As the detector saw it, in millivolts; NaN where nothing was recorded."""
    deviation: Float[np.ndarray, "leads samples"]
    """Deviation of each sample, the mean over windows."""


def stitch(detector: Detector, data: Split, position: int) -> Stitched:
    """Score the windows of a recording, and join the deviations of its samples."""
    preprocessor = data.preprocessor
    window, rate = preprocessor.samples, preprocessor.sampling_rate
    at = np.array([position])
    windows = covering_windows(at, data.lengths(at), window=window)
    stop = min(int(windows.starts[-1]) + window, round(SECONDS * rate))
    total = np.zeros((3, len(preprocessor.leads), int(windows.starts[-1]) + window))
    for start in windows.starts[windows.starts < stop]:
        prepared = data.prepared(position, int(start))[1]
        batch = data.batch([position], np.array([start]))
        found = deviations(detector, batch)[1][0]
        recorded = prepared.present[:, None] & (np.arange(window) < prepared.samples)
        parts = np.stack([prepared.millivolts(prepared.signal), found, np.ones_like(found)])
        total[:, :, start : start + window] += parts * recorded
    signal, deviation, times = total[:, :, :stop]
    known = np.where(times > 0, times, np.nan)
    return Stitched(signal / known, np.nan_to_num(deviation / known))


def binned(deviation: Float[np.ndarray, "leads samples"], sampling_rate: int) -> np.ndarray:
    """Return means over fields of `BIN_S`: (leads, fields)."""
    size = max(1, round(BIN_S * sampling_rate))
    starts = np.arange(0, deviation.shape[1], size)
    sums = np.add.reduceat(deviation, starts, axis=1)
    return sums / np.diff(np.append(starts, deviation.shape[1]))


def deviation_paper(
    stitched: Stitched, leads: tuple[str, ...], *, sampling_rate: int, highest: float, title: str
) -> Figure:
    """Draw a recording on ECG paper, and behind each lead in red where it deviates.

    Args:
        stitched: what to draw.
        leads: names of the rows.
        sampling_rate: samples per second.
        highest: deviation of a field in full colour.
        title: one line over the paper.
    """
    figure = ecg_paper(
        stitched.signal_mv, leads, sampling_rate=sampling_rate, title=title, seconds=SECONDS
    )
    axes = figure.axes[0]
    limits = axes.get_xlim(), axes.get_ylim()
    heat = binned(stitched.deviation, sampling_rate)
    size = max(1, round(BIN_S * sampling_rate))
    for line, row, signal_mv in zip(axes.lines, heat, stitched.signal_mv, strict=False):
        x_mm, y_mm = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        baseline_mm = float(np.nan_to_num(np.nanmedian(y_mm - 10 * signal_mv)))
        step_mm = x_mm[1] - x_mm[0] if len(x_mm) > 1 else 1.0
        ends = np.append(np.arange(0, len(x_mm), size), len(x_mm))
        axes.pcolormesh(
            x_mm[0] + ends * step_mm,
            baseline_mm + np.array(_FIELD_MM),
            row[None],
            cmap=_HEAT,
            vmin=0.0,
            vmax=highest,
            zorder=1.5,
            linewidth=0,
            edgecolors="none",
        )
    axes.set(xlim=limits[0], ylim=limits[1])
    return figure


@matplotlib.rc_context(STYLE)
def operating_curve(
    abnormal: Bool[np.ndarray, " records"],
    score: Float[np.ndarray, " records"],
    points: Mapping[str, tuple[float, float]],
) -> Figure:
    """Draw sensitivity against 1 - specificity, and the points (specificity, sensitivity) of rules.

    The rules chose their thresholds on other recordings.
    """
    counts = ranked_counts(abnormal, score).from_none()
    found, false = counts.positive[0] / abnormal.sum(), counts.negative[0] / (~abnormal).sum()
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls="--")
    axes.plot(false, found, color=COLOURS[0], lw=1.6)
    for number, (name, (specificity, sensitivity)) in enumerate(points.items()):
        marker, colour = "osD^"[number % 4], COLOURS[(number + 1) % 4]
        axes.plot(1 - specificity, sensitivity, marker, color=colour, ms=7, label=name)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal")
    axes.grid()
    axes.legend(loc="lower right", title="threshold of validation by")
    figure.set_label("Operating curve, with the points of four threshold rules")
    return figure


@matplotlib.rc_context(STYLE)
def score_histogram(
    abnormal: Bool[np.ndarray, " records"],
    score: Float[np.ndarray, " records"],
    *,
    threshold: float,
    name: str,
) -> Figure:
    """Draw the shares of normal and of abnormal recordings by score, and the threshold.

    The highest of all, a hundredth, stand in the last bar.
    """
    low, high = float(score.min()), float(np.percentile(score, _SHOWN_PERCENTILE))
    edges = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for kind, colour, chosen in (
        ("normal", COLOURS[0], ~abnormal),
        ("abnormal", COLOURS[1], abnormal),
    ):
        values = np.minimum(score[chosen], edges[-1])
        share = np.full(len(values), 1 / max(len(values), 1))
        axes.hist(values, edges.tolist(), weights=share, color=colour, alpha=0.45, label=kind)
    if np.isfinite(threshold) and threshold <= edges[-1]:
        axes.axvline(threshold, color=MUTED, lw=1.4, ls="--", label="threshold")
    axes.set(xlabel=name, ylabel="share of recordings", xlim=(edges[0], edges[-1]))
    axes.legend(loc="best")
    figure.set_label(f"Histogram of {name}, normal beside abnormal recordings")
    return figure
