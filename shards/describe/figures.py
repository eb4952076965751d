"""Figures of a corpus: classes by split, amplitudes by lead, distributions."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from lamae.figures.plots import COLOURS
from lamae.storage.samples import SPLITS

MOST_CLASSES = 30
"""Classes of a label set that are drawn, the most frequent."""

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": "#dfe3e8",
    "legend.frameon": False,
    "text.parse_math": False,  # a class may have a dollar in its name
}
_LONGEST_NAME = 44
_LEAST_UV = 0.1


@matplotlib.rc_context(_STYLE)
def class_bars(classes: Mapping[str, Mapping[str, int]], *, label_set: str) -> Figure:
    """Draw the recordings of each class, stacked by split, the most frequent class on top.

    Args:
        classes: for each class its recordings in each split; at least one class.
        label_set: name of the label set, for the description of the figure.
    """
    names = sorted(classes, key=lambda name: (-sum(classes[name].values()), name))[:MOST_CLASSES]
    figure = Figure(figsize=(8.4, 1.05 + 0.225 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    places, ends = np.arange(len(names)), np.zeros(len(names))
    for split, colour in zip(SPLITS, COLOURS, strict=False):
        counts = np.array([classes[name].get(split, 0) for name in names])
        if counts.any():
            axes.barh(places, counts, left=ends, height=0.72, color=colour, label=split)
        ends += counts
    for place, end in zip(places, ends, strict=True):
        axes.annotate(
            f"{int(end):,}", (end, place), (4, 0), textcoords="offset points", va="center", size=8.5
        )
    axes.set_yticks(places, labels=[_shortened(name) for name in names], fontsize=9)
    axes.set(xlabel="recordings", ylim=(len(names) - 0.4, -0.6), xlim=(0, 1.1 * max(1, *ends)))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(SPLITS), fontsize=8.5)
    figure.set_label(f"Recordings of each class of {label_set}, by split")
    return figure


@matplotlib.rc_context(_STYLE)
def lead_ranges(peak_to_peak_mv: Mapping[str, np.ndarray]) -> Figure:
    """Draw for each lead the median, the middle half and the middle 90 % over recordings."""
    figure = Figure(figsize=(8.4, 0.9 + 0.24 * len(peak_to_peak_mv)), layout="constrained")
    axes = figure.add_subplot()
    for place, values in enumerate(peak_to_peak_mv.values()):
        p5, p25, p50, p75, p95 = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))
        axes.hlines(place, p5, p95, color=COLOURS[0], linewidth=1.4)
        axes.hlines(place, p25, p75, color=COLOURS[0], linewidth=6, alpha=0.45)
        axes.plot(p50, place, "o", color=COLOURS[0], markersize=5)
    axes.set_yticks(range(len(peak_to_peak_mv)), labels=list(peak_to_peak_mv))
    axes.set(xlabel="largest less smallest sample, mV", ylim=(len(peak_to_peak_mv) - 0.4, -0.6))
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    figure.set_label("Peak-to-peak amplitude of each lead over the sampled recordings")
    return figure


@matplotlib.rc_context(_STYLE)
def einthoven_histogram(residual_uv: np.ndarray) -> Figure:
    """Draw how many recordings miss Einthoven's law by how much; below 0.1 uV counts as that."""
    values = np.maximum(residual_uv, _LEAST_UV)
    highest = np.ceil(np.log10(max(values.max(), 10 * _LEAST_UV)))
    edges = np.logspace(np.log10(_LEAST_UV), highest, round(12 * (highest + 1)) + 1)
    figure = _counts_figure(values, edges, "root mean square of I + III \u2212 II, \u00b5V")
    axes = figure.axes[0]
    axes.set(xscale="log", yscale="log", ylim=(0.7, None))  # one recording is seen beside 10,000
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,g}")
        axis.set_minor_formatter(NullFormatter())
    figure.set_label("Residual of Einthoven's law over the sampled recordings")
    return figure


@matplotlib.rc_context(_STYLE)
def number_histogram(values: np.ndarray, *, name: str) -> Figure:
    """Draw how many recordings have which value of a number, such as the age."""
    figure = _counts_figure(values, np.histogram_bin_edges(values, bins=30), name)
    figure.set_label(f"Distribution of {name} over the recordings")
    return figure


@matplotlib.rc_context(_STYLE)
def duration_histogram(duration_s: np.ndarray) -> Figure:
    """Draw how many recordings are how long."""
    edges = np.histogram_bin_edges(duration_s, bins=40)
    figure = _counts_figure(duration_s, edges, "duration, s")
    figure.set_label("Durations of the recordings")
    return figure


def _counts_figure(values: np.ndarray, edges: np.ndarray, xlabel: str) -> Figure:
    figure = Figure(figsize=(8.4, 2.6), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(values, edges.tolist(), color=COLOURS[0], edgecolor="white", linewidth=0.6)
    axes.set(xlabel=xlabel, ylabel="recordings")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y")
    return figure


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}\u2026"
