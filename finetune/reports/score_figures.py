"""Figures of scores beside labels: ROC, precision and recall, reliability, confusion.

Each class has a panel of its own, so that no label meets another; of many classes the most
frequent are drawn.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lamae.figures.plots import COLOURS, INK, MUTED, STYLE
from lamae.statistics.calibration import bins_for, reliability
from lamae.statistics.metrics import auroc, average_precision
from lamae.statistics.ranked_counts import ranked_counts

MOST_PANELS = 12
"""Classes that are drawn, the most frequent."""
MOST_CELLS = 12
"""Classes of a confusion matrix that have a row of their own; the others share one."""

_COLUMNS = 4
_DASHES = ("-", "--", ":", "-.")
_LONGEST_NAME = 24
_SHADES = "Blues"
_DARK = 0.55


def shortened(name: str) -> str:
    """Return a name that fits over a panel."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


@matplotlib.rc_context(STYLE)
def roc_figure(
    labels: Bool[np.ndarray, "records classes"],
    scores: Mapping[str, Float[np.ndarray, "records classes"]],
    names: Mapping[str, int],
    called: Bool[np.ndarray, "points records classes"] | None = None,
) -> Figure:
    """Draw sensitivity against 1 - specificity.

    Args:
        labels: True where a record has a class.
        scores: of each classifier.
        names: of the classes to draw, each with its column, which has both sorts of records.
        called: recordings that the first classifier calls at each of its operating points.
    """

    def draw(axes: Axes, column: int) -> str:
        axes.plot([0, 1], [0, 1], color=MUTED, lw=0.7)
        for i, values in enumerate(scores.values()):
            false, true, _ = curve_counts(labels[:, column], values[:, column])
            bends = (np.diff(true, 2) != 0) | (np.diff(false, 2) != 0)
            kept = np.concatenate([[True], bends, [True]])
            false, true = false[kept], true[kept]
            axes.plot(false / false[-1], true / true[-1], **_line(i))
        for place, own in enumerate(() if called is None else called[..., column]):
            truth = labels[:, column]
            axes.plot(own[~truth].mean(), own[truth].mean(), **_point(place))
        first = next(iter(scores.values()))
        return f"AUROC {auroc(labels[:, column], first[:, column]):.3f}"

    figure = _panels(names, draw, list(scores), "1 \N{MINUS SIGN} specificity", "sensitivity")
    figure.set_label(f"ROC curves of {' and '.join(scores)} for {', '.join(names)}")
    return figure


@matplotlib.rc_context(STYLE)
def precision_recall_figure(
    labels: Bool[np.ndarray, "records classes"],
    scores: Mapping[str, Float[np.ndarray, "records classes"]],
    names: Mapping[str, int],
    called: Bool[np.ndarray, "points records classes"] | None = None,
) -> Figure:
    """Draw precision against recall, over a line at the share of positive records.

    The arguments are those of `roc_figure`.
    """

    def draw(axes: Axes, column: int) -> str:
        axes.axhline(labels[:, column].mean(), color=MUTED, lw=0.7)
        for i, values in enumerate(scores.values()):
            false, true, _ = curve_counts(labels[:, column], values[:, column])
            precision = true[1:] / (true[1:] + false[1:])
            recall = true / true[-1]
            # Average precision is the area under these steps, without interpolation.
            steps = np.append(precision[0], precision)
            axes.plot(recall, steps, drawstyle="steps-pre", **_line(i))
        for place, own in enumerate(() if called is None else called[..., column]):
            truth = labels[:, column]
            if own.any():
                axes.plot(own[truth].mean(), truth[own].mean(), **_point(place))
        first = next(iter(scores.values()))
        return f"AUPRC {average_precision(labels[:, column], first[:, column]):.3f}"

    figure = _panels(names, draw, list(scores), "recall (sensitivity)", "precision")
    figure.set_label(f"Precision and recall of {' and '.join(scores)} for {', '.join(names)}")
    return figure


@matplotlib.rc_context(STYLE)
def reliability_figure(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Mapping[str, Float[np.ndarray, "records classes"]],
    names: Mapping[str, int],
) -> Figure:
    """Draw the share of positive records against the mean probability, by bin.

    The arguments are those of `roc_figure`.
    """

    def draw(axes: Axes, column: int) -> str:
        axes.plot([0, 1], [0, 1], color=MUTED, lw=0.7)
        for i, values in enumerate(probabilities.values()):
            positive = labels[:, column]
            points = reliability(positive, values[:, column], bins=bins_for(positive))
            marker = "osD^"[i % 4]
            axes.plot(points.probability, points.positive_share, marker=marker, ms=4, **_line(i))
        return f"{int(labels[:, column].sum()):,} positive"

    figure = _panels(names, draw, list(probabilities), "mean probability", "share positive")
    figure.set_label(f"Reliability of {' and '.join(probabilities)} for {', '.join(names)}")
    return figure


@matplotlib.rc_context(STYLE)
def confusion_figure(counts: Int[np.ndarray, "classes classes"], names: Sequence[str]) -> Figure:
    """Draw records by true and called class; shades are shares of a true class."""
    size = 1.6 + 0.52 * len(names)
    figure = Figure(figsize=(max(size + 0.9, 4.2), max(size, 3.2)), layout="constrained")
    axes = figure.add_subplot()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    edges = np.arange(len(names) + 1) - 0.5
    mesh = axes.pcolormesh(edges, edges, share, cmap=_SHADES, vmin=0, vmax=1, edgecolors="w", lw=1)
    for (row, column), number in np.ndenumerate(counts):
        colour = "w" if share[row, column] > _DARK else INK
        text = f"{number:,}" if number else ""
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8.5)
    ticks = range(len(names))
    axes.set_xticks(ticks, labels=[shortened(name) for name in names], rotation=45, ha="right")
    axes.set_yticks(ticks, labels=[shortened(name) for name in names])
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set(xlabel="called", ylabel="true", aspect="equal")
    bar = figure.colorbar(mesh, label="share of the true class", shrink=0.8)
    bar.solids.set(rasterized=False, edgecolor="face")  # type: ignore[union-attr]
    figure.set_label(f"Confusion matrix of {', '.join(names)}")
    return figure


def curve_counts(
    positive: Bool[np.ndarray, " records"], score: Float[np.ndarray, " records"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return false positives, true positives and the threshold, from none called to all."""
    threshold, true, false = ranked_counts(positive, score).from_none()
    return false[0], true[0], threshold


def gathered(
    counts: Int[np.ndarray, "classes classes"], names: Sequence[str]
) -> tuple[Int[np.ndarray, "shown shown"], list[str]]:
    """Add up all classes but the most frequent in a last row and column."""
    if len(names) <= MOST_CELLS + 1:
        return counts, list(names)
    order = np.argsort(-counts.sum(axis=1), kind="stable")[:MOST_CELLS]
    member = np.zeros((MOST_CELLS + 1, len(names)), dtype=counts.dtype)
    member[np.arange(MOST_CELLS), order] = 1
    member[-1] = 1 - member.sum(axis=0)
    return member @ counts @ member.T, [*(names[i] for i in order), "others"]


def _line(number: int) -> dict[str, Any]:
    """Return how the curve of a classifier looks."""
    return {"color": COLOURS[number % 4], "ls": _DASHES[number % 4], "lw": 1.4}


def _point(number: int) -> dict[str, Any]:
    """Return how an operating point of the first classifier looks: filled, then hollow."""
    face = "white" if number else COLOURS[0]
    return {"color": COLOURS[0], "marker": "o", "ms": 6, "mfc": face, "mew": 1.5, "zorder": 5}


def _panels(
    names: Mapping[str, int],
    draw: Callable[[Axes, int], str],
    models: Sequence[str],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Draw a panel for each class, under its name and what `draw` returns."""
    rows = math.ceil(len(names) / _COLUMNS)
    columns = max(3, math.ceil(len(names) / rows))  # the legend needs as much
    figure = Figure(figsize=(0.5 + 2.0 * columns, 0.75 + 2.3 * rows))
    figure.set_layout_engine("constrained", h_pad=0.1)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, (name, column) in zip(grid.flat, names.items(), strict=False):
        found = draw(axes, column)
        axes.set_title(f"{shortened(name)}\n{found}", fontsize=9)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xticks([0, 0.5, 1], labels=["0", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], labels=["0", "0.5", "1"])
        axes.tick_params(labelsize=8.5, labelbottom=True)
        axes.grid()
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    handles = [Line2D([], [], label=model, **_line(i)) for i, model in enumerate(models)]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(models))
    figure.supxlabel(xlabel, fontsize=10)
    figure.supylabel(ylabel, fontsize=10)
    return figure
