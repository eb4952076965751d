"""Results by group, and their forest plot."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from finetune.evaluation.group_results import LEVEL, MIN_PATIENTS, TOO_FEW, GroupResult
from finetune.reports.page import interval_of
from finetune.reports.score_figures import shortened
from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section
from lamae.figures.plots import COLOURS, MUTED, STYLE
from lamae.statistics.interval import Interval

EVERYONE = "All recordings"

_NAMED = 2
_RULES = (
    "Groups are of the evaluated recordings, by facts that the shards hold about them: age in "
    "bands; other numbers in quarters, unless eight values are those of half the recordings; dates "
    "by year; the rest as they are written there, the most frequent first, and after eight values "
    "all others joined. Recordings about which a fact is unknown are a group of their own. A "
    "patient can be in several groups, as by age."
)
_DIFFERENCE = (
    "The macro average is over the classes that some recordings of the group have and others "
    "lack; the difference is to all recordings, which hold the group, over the same classes and "
    "on the same resamples of patients. A group may differ because its recordings are harder or "
    "its classes mixed otherwise: no figure here tells why, nor whether thresholds and "
    "probabilities hold in it."
)
_REMARKS = (
    f"Remarks name the classes that a group is without, and as few those that under {MIN_PATIENTS} "
    f"of its patients have, or lack; a group in which every class is so has {TOO_FEW} for a "
    "figure. The file groups_by_class.csv has every class."
)


def group_sections(found: Sequence[GroupResult], summary: Mapping[str, Any]) -> list[Section]:
    """Show the classifier's macro AUROC by group beside that of all; nothing without groups."""
    if not found:
        return []
    measured = [one for one in found if one.auroc_macro is not None]
    everyone = interval_of(summary["auroc_macro"])
    figures = []
    if measured:
        caption = (
            f"Hollow where fewer than {MIN_PATIENTS} patients have, or lack, some class. "
            f"{_plural(len(found) - len(measured), 'group')} too small for a figure."
        )
        figures = [NamedFigure("groups", draw_groups(measured, everyone), caption)]
    return [
        Section(
            "Results by group",
            [_RULES, _DIFFERENCE, _REMARKS, _multiplicity(len(measured))],
            figures,
            [_table(found, list(summary["per_class"])), _by_class(found)],
        )
    ]


@matplotlib.rc_context(STYLE)
def draw_groups(found: Sequence[GroupResult], everyone: Interval) -> Figure:
    """Draw a forest plot: the macro AUROC of all and of each group, and the differences.

    All groups must have measures.
    """
    names = [EVERYONE, *(shortened(f"{one.fact} {one.name}") for one in found)]
    figure = Figure(figsize=(7.2, 0.9 + 0.3 * len(names)), layout="constrained")
    values, differences = figure.subplots(1, 2, sharey=True)
    hollow = [False, *(bool(one.few) for one in found)]
    rows = [everyone, *(one.auroc_macro for one in found)]
    for axes, intervals, colour in (
        (values, rows, COLOURS[0]),
        (differences, [None, *(one.difference for one in found)], COLOURS[1]),
    ):
        for row, interval in enumerate(intervals):
            if interval is not None:
                axes.hlines(row, interval.low, interval.high, color=colour, linewidth=1.8)
                face = "white" if hollow[row] else colour
                axes.plot(interval.estimate, row, "o", color=colour, mfc=face, ms=6)
        axes.axhline(0.5, color=MUTED, linewidth=0.8)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(4))
    differences.axvline(0, color=MUTED, linewidth=0.8)
    values.axvline(everyone.estimate, color=MUTED, linewidth=0.8, linestyle=":")
    values.set(xlabel="Macro AUROC", ylim=(len(names) - 0.5, -0.5))
    differences.set(xlabel="Difference to all")
    values.set_yticks(np.arange(len(names)), labels=names)
    values.get_yticklabels()[0].set_fontweight("bold")
    figure.set_label(
        "Macro AUROC with intervals, and difference to all recordings: "
        + "; ".join(f"{one.fact} {one.name} {one.auroc_macro}, {one.difference}" for one in found)
    )
    return figure


def _multiplicity(number: int) -> str:
    if number < 2:
        return "Intervals are by patient."
    chance = 1 - LEVEL
    return (
        f"{number} groups are compared with all. Intervals are by patient and hold for one group "
        f"at a time; none is widened for their number: if no group differed, about "
        f"{number * chance:.2g} of these {number} differences would exclude 0 by chance."
    )


def _table(found: Sequence[GroupResult], classes: Sequence[str]) -> NamedTable:
    unknown = Interval(math.nan, math.nan, math.nan)
    rows: list[list[Cell]] = [
        [
            one.fact,
            one.name,
            one.records,
            one.patients,
            one.auroc_macro or unknown,
            one.difference or unknown,
            f"{len(one.positive_patients)} of {len(classes)}",
            one.reason or _remark(one, classes),
        ]
        for one in found
    ]
    columns = ["Fact", "Group", "Recordings", "Patients", "Macro AUROC", "Difference to all"]
    return NamedTable("groups", "Results by group", [*columns, "Classes", "Remark"], rows)


def _remark(one: GroupResult, classes: Sequence[str]) -> str:
    without = [name for name in classes if name not in one.positive_patients]
    parts = {"without": without, "few": one.few}
    return "; ".join(f"{what} {_names(names)}" for what, names in parts.items() if names)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _NAMED else f"{len(names)} classes"


def _by_class(found: Sequence[GroupResult]) -> NamedTable:
    rows: list[list[Cell]] = [
        [
            one.fact,
            one.name,
            name,
            positive,
            one.auroc.get(name),
            "yes" if name in one.few else "no",
        ]
        for one in found
        for name, positive in one.positive_patients.items()
    ]
    columns = ["Fact", "Group", "Class", "Patients with it", "AUROC", "Few patients"]
    return NamedTable("groups_by_class", "AUROC by group and class", columns, rows, on_page=False)


def _plural(number: int, noun: str) -> str:
    return f"{number or 'No'} {noun} is" if number < 2 else f"{number} {noun}s are"
