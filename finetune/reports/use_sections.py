"""Sections on the use of a classifier: thresholds by rule with what they cost, and net benefit."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from finetune.evaluation.probability_measures import decision_curves
from finetune.evaluation.rule_results import PEOPLE, RuleResult
from finetune.reports.score_figures import MOST_PANELS, shortened
from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section
from lamae.figures.plots import COLOURS, MUTED, STYLE
from lamae.statistics.net_benefit import DecisionCurve

_COLUMNS = 4
_MOST_CLASSES = 6
_RULES = (
    "Each rule chose its threshold on held-out patients of the training split, never on what is "
    "evaluated here. Sensitivity and specificity are those reached here, with exact intervals by "
    f"patient; missed and false alarms are reckoned for {PEOPLE:,} people, of whom as many have "
    "the class as of the recordings here, or another share. The cost is that of a missed one in "
    "false alarms."
)
_ELSEWHERE = (
    "For another prevalence sensitivity and specificity are taken to stay as they are, which they "
    "do not where patients are less ill or better looked after than here."
)
_BENEFIT = (
    "Who acts where a probability is at or above p says that a patient found is worth (1 - p) / p "
    "false alarms. The net benefit is patients found per person, less false alarms at that price: "
    "a model is of use where its curve is above both lines, of acting on everyone and on nobody. "
    "It rests on the probabilities, so it holds where they are calibrated."
)


def rule_section(rules: Mapping[str, Sequence[RuleResult]], order: Sequence[str]) -> Section:
    """Tabulate thresholds by rule and what they cost, for classes in an order."""
    shown = [name for name in order if name in rules]
    brief: list[Sequence[Cell]] = []
    elsewhere: list[Sequence[Cell]] = []
    rows: list[Sequence[Cell]] = []
    for name in shown:
        for one in rules[name]:
            here = one.consequences[0]
            reached = one.sensitivity, one.specificity
            brief.append((name, one.rule, *reached, here.missed, here.false_alarms))
            cut = one.threshold if math.isfinite(one.threshold) else math.nan
            for each in one.consequences:
                costs = each.missed, each.false_alarms, each.ppv, each.npv
                rows.append((name, one.rule, cut, *reached, f"{each.prevalence:.1%}", *costs))
        elsewhere += [
            (name, f"{each.prevalence:.1%}", each.missed, each.false_alarms, each.ppv, each.npv)
            for each in rules[name][0].consequences
        ]
    costs_of = [f"Missed per {PEOPLE:,}", f"False alarms per {PEOPLE:,}"]
    columns = ["Class", "Rule", "Sensitivity", "Specificity"]
    every = ["Class", "Rule", "Threshold", *columns[2:], "Prevalence", *costs_of, "PPV", "NPV"]
    text = [_RULES, _ELSEWHERE]
    if len(shown) > _MOST_CLASSES:
        text.append(
            f"The {_MOST_CLASSES} most frequent of {len(shown)} classes; thresholds_by_rule.csv "
            "has all, with their thresholds and predictive values."
        )
    by_rule, per_class = len(rules[shown[0]]), len(rules[shown[0]][0].consequences)
    tables = [
        NamedTable(
            "costs_by_rule",
            "Thresholds by rule, at the prevalence here",
            [*columns, *costs_of],
            brief[: _MOST_CLASSES * by_rule],
        ),
        NamedTable(
            "costs_by_prevalence",
            "At the threshold of highest F1, by prevalence",
            ["Class", "Prevalence", *costs_of, "PPV", "NPV"],
            elsewhere[: _MOST_CLASSES * per_class],
        ),
        NamedTable("thresholds_by_rule", "Thresholds by rule", every, rows, on_page=False),
    ]
    return Section("Thresholds by rule, and what they cost", text, tables=tables)


def benefit_section(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Float[np.ndarray, "records classes"],
    classes: Sequence[str],
) -> Section:
    """Draw decision curves of the most frequent classes, and tabulate those of all."""
    curves = decision_curves(labels, probabilities, classes)
    frequency = dict(zip(classes, labels.sum(axis=0).tolist(), strict=True))
    names = sorted(curves, key=lambda name: -frequency[name])
    drawn = {name: curves[name] for name in names[:MOST_PANELS]}
    caption = "Net benefit against the probability from which on somebody acts."
    if len(drawn) < len(curves):
        caption += f" The {len(drawn)} most frequent of {len(curves)} classes."
    rows: list[Sequence[Cell]] = [
        (name, *map(float, point)) for name in names for point in zip(*curves[name], strict=True)
    ]
    columns = ["class", "acts_from", "net_benefit", "net_benefit_of_everyone"]
    table = NamedTable("net_benefit", "Decision curves", columns, rows, on_page=False)
    figure = NamedFigure("net_benefit", benefit_figure(drawn), caption)
    return Section("Net benefit", [_BENEFIT], [figure], [table])


@matplotlib.rc_context(STYLE)
def benefit_figure(curves: Mapping[str, DecisionCurve]) -> Figure:
    """Draw a decision curve in a panel for each class."""
    rows = math.ceil(len(curves) / _COLUMNS)
    columns = max(3, math.ceil(len(curves) / rows))
    figure = Figure(figsize=(0.5 + 2.0 * columns, 0.75 + 2.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axes, (name, curve) in zip(grid.flat, curves.items(), strict=False):
        top = float(curve.everyone[0])
        axes.axhline(0, color=MUTED, lw=0.9, label="nobody")
        axes.plot(curve.threshold, curve.everyone, color=MUTED, lw=1.2, ls="--", label="everyone")
        axes.plot(curve.threshold, curve.model, color=COLOURS[0], lw=1.6, label="the classifier")
        axes.set_title(shortened(name), fontsize=9)
        axes.set(xlim=(0, 1), ylim=(-0.15 * top, 1.1 * top))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelsize=8.5, labelbottom=True)
        axes.grid()
    for axes in grid.flat[len(curves) :]:
        axes.set_axis_off()
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    figure.supxlabel("acts from this probability on", fontsize=10)
    figure.supylabel("net benefit", fontsize=10)
    figure.set_label(f"Decision curves for {', '.join(curves)}")
    return figure
