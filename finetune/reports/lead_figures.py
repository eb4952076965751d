"""Figures of what leads are worth to a classifier: with leads taken from it, and by its weights."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lamae.figures.plots import COLOURS, MUTED, STYLE
from lamae.statistics.interval import Interval

PANELS = 12
"""Classes that a figure has room for; tables hold all."""
_COLUMNS = 4


@matplotlib.rc_context(STYLE)
def draw_by_class(
    values: Mapping[str, Mapping[str, Interval]], *, xlabel: str, reference: float
) -> Figure:
    """Draw by class, in panels, an interval for each set of leads.

    Args:
        values: by class and set of leads; a class that lacks one has an empty row. Of more
            classes than `PANELS` the first are drawn.
        xlabel: what the intervals are of.
        reference: value that stands for no effect; intervals that do not hold it are set apart.
    """
    sets = list(next(iter(values.values())))
    figure, panels = _panels(list(values)[:PANELS], height=0.5 + 0.19 * len(sets))
    for name, axes in panels.items():
        for row, shown in enumerate(sets):
            if shown not in values[name]:
                continue
            estimate, low, high = values[name][shown]
            is_sure = low > reference or high < reference
            colour = COLOURS[1] if is_sure else MUTED
            axes.hlines(row, low, high, color=colour, linewidth=1.6)
            axes.plot(estimate, row, "o", color=colour, ms=4.5, mfc=colour if is_sure else "white")
        axes.axvline(reference, color=MUTED, linewidth=0.8)
        axes.set_yticks(range(len(sets)), labels=sets)
        axes.set(ylim=(len(sets) - 0.5, -0.5))
        axes.grid(axis="x")
    figure.supxlabel(xlabel, fontsize=10)
    figure.set_label(f"{xlabel}: {', '.join(sets)}; for {', '.join(panels)}")
    return figure


@matplotlib.rc_context(STYLE)
def draw_fewer_leads(curve: Sequence[tuple[Sequence[str], Interval]]) -> Figure:
    """Draw the macro AUROC with fewer and fewer leads, from left to right as given."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    estimate, low, high = np.array([interval for _, interval in curve]).T
    places = np.arange(len(curve))
    axes.plot(places, estimate, color=COLOURS[0], linewidth=1.0)
    axes.vlines(places, low, high, color=COLOURS[0], linewidth=1.8)
    axes.plot(places, estimate, "o", color=COLOURS[0], ms=6)
    axes.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
    axes.set_xticks(places, labels=[_in_lines(leads) for leads, _ in curve], fontsize=8.5)
    axes.set(ylabel="Macro AUROC", xmargin=0.08)
    axes.grid(axis="y")
    figure.set_label(f"Macro AUROC with {', '.join(str(len(leads)) for leads, _ in curve)} leads")
    return figure


@matplotlib.rc_context(STYLE)
def draw_lead_weights(
    quartiles: Mapping[str, Float[np.ndarray, "3 leads"]], leads: Sequence[str]
) -> Figure:
    """Draw by class, in panels, the weight of each lead: a dot at the median, a bar of quartiles.

    Args:
        quartiles: by class, lower quartile, median and upper quartile among its recordings; of
            more classes than `PANELS` the first are drawn.
        leads: names of the columns.
    """
    figure, panels = _panels(list(quartiles)[:PANELS], height=2.0)
    places = np.arange(len(leads))
    for name, axes in panels.items():
        low, middle, high = quartiles[name]
        axes.vlines(places, low, high, color=COLOURS[0], linewidth=3, alpha=0.45)
        axes.plot(places, middle, "o", color=COLOURS[0], ms=4.5)
        axes.axhline(1 / len(leads), color=MUTED, linewidth=0.8, linestyle=":")
        axes.set_xticks(places, labels=leads, rotation=90, fontsize=8)
        axes.grid(axis="y")
    axes.set_ylim(bottom=0)  # of all panels, which share it
    figure.supylabel("Weight of a lead", fontsize=10)
    figure.set_label(f"Weights of {', '.join(leads)}, median and quartiles: {', '.join(panels)}")
    return figure


@matplotlib.rc_context(STYLE)
def draw_gates(quartiles: Mapping[str, Float[np.ndarray, " 3"]]) -> Figure:
    """Draw for each class the encoder's share in a hybrid: median and quartiles.

    `quartiles` are by class, lower quartile, median and upper quartile among its recordings; of
    more classes than `PANELS` the first are drawn.
    """
    names = list(quartiles)[:PANELS]
    low, middle, high = np.array([quartiles[name] for name in names]).T
    rows = np.arange(len(names))
    figure = Figure(figsize=(7.2, 0.9 + 0.3 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.hlines(rows, low, high, color=COLOURS[0], linewidth=3, alpha=0.45)
    axes.plot(middle, rows, "o", color=COLOURS[0], ms=5)
    axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle=":")
    axes.set_yticks(rows, labels=names)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xlabel="Share of the encoder")
    axes.grid(axis="x")
    figure.set_label(f"Share of the encoder in the hybrid by class: {', '.join(names)}")
    return figure


def _panels(names: Sequence[str], *, height: float) -> tuple[Figure, dict[str, Axes]]:
    """Lay out a panel for each name, in rows; `height` in inches, without the title."""
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    size = (1.2 + 2.1 * columns, 0.4 + (height + 0.4) * rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for unused in grid[len(names) :]:
        unused.set_visible(False)
    panels = dict(zip(names, grid, strict=False))
    for number, (name, axes) in enumerate(panels.items()):
        axes.set_title(name if len(name) <= 24 else f"{name[:23]}…", fontsize=10, loc="left")
        is_lowest = number + columns >= len(names)
        axes.tick_params(labelbottom=is_lowest, labelleft=number % columns == 0)
    return figure, panels


def _in_lines(leads: Sequence[str]) -> str:
    """Count leads, and name them below where they are few."""
    named = "" if len(leads) > 4 else "\n" + ", ".join(leads)
    return f"{len(leads)}{named}"
