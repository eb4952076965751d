"""Label efficiency: macro AUROC against the share of training patients."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from finetune.comparison.collect import Run, flat_settings, tabulate
from finetune.comparison.common_recordings import baseline_of
from finetune.comparison.finished_runs import FinishedRun
from finetune.reports.page import SHOWN_AS
from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section
from finetune.settings import WITHOUT_EFFECT_ON_SCORES
from lamae.errors import InputError
from lamae.figures.plots import COLOURS, STYLE
from lamae.statistics.interval import Interval
from lamae.statistics.score_intervals import BootstrapScores

FRACTION = "label_fraction"
_MARKERS, _DASHES = ("o", "s", "^", "D"), ("-", "--", ":", "-.")
_VARIED = {"seed", "subset_seed", FRACTION}
_SEEDS = {"seed", "subset_seed", "encoder"}
_NO_METHOD = WITHOUT_EFFECT_ON_SCORES | {"baselines", "max_unusable"}


class Point(NamedTuple):
    """A model with some labels."""

    fraction: float
    """Share of the training patients."""
    model: str
    """Its name in the comparison."""
    auroc: Interval
    """Macro AUROC."""


def find_methods(arms: Mapping[str, Sequence[FinishedRun]]) -> list[list[str]]:
    """Return the names of runs that differ in their share of labels alone, but for seeds.

    Each list is one method, from the smallest to the largest share; one share is none.
    """
    methods: dict[str, list[tuple[float, str]]] = {}
    for name, runs in arms.items():
        config = flat_settings(runs[0].summary)
        method = {k: v for k, v in config.items() if _is_of_method(k) and k not in _VARIED}
        point = (config.get(FRACTION, 1.0), name)
        methods.setdefault(json.dumps(method, sort_keys=True), []).append(point)
    several = [points for points in methods.values() if len({share for share, _ in points}) > 1]
    return [[name for _, name in sorted(points)] for points in several]


def check_seeds(arms: Mapping[str, Sequence[FinishedRun]]) -> None:
    """Raise InputError where runs of one name differ in more than seeds; an encoder has its own."""
    for name, runs in arms.items():
        table = tabulate([Run(run.folder.name, "finished", run.summary) for run in runs])
        others = [key for key in table.settings if _is_of_method(key) and key not in _SEEDS]
        if others:
            raise InputError(
                f"runs of {name}",
                value=f"differ in {', '.join(others[:3])}",
                expected="one method with several seeds",
                remedy="Give each method a name of its own.",
            )


def efficiency_section(
    arms: Mapping[str, Sequence[FinishedRun]], measured: BootstrapScores
) -> Section | None:
    """Draw a line for each method and its baselines; None where there is no method."""
    lines = efficiency_lines(arms, measured)
    if not lines:
        return None
    rows: list[Sequence[Cell]] = [
        (name, point.fraction, point.model, point.auroc)
        for name, points in lines.items()
        for point in points
    ]
    columns = ["Method", "Share of the training patients", "Model", "Macro AUROC"]
    text = [
        "Smaller shares are parts of larger ones where subset_seed is the same. Which patients "
        "these are is chance as well, which intervals over evaluation patients do not hold."
    ]
    caption = "Macro AUROC by share of training patients, on a logarithmic scale, with intervals."
    return Section(
        "What labels are worth",
        text,
        [NamedFigure("label_efficiency", _draw(lines), caption)],
        [NamedTable("label_efficiency", "Macro AUROC", columns, rows)],
    )


def efficiency_lines(
    arms: Mapping[str, Sequence[FinishedRun]], measured: BootstrapScores
) -> dict[str, list[Point]]:
    """Return the points of each method, named by its mode, and behind them its baselines'."""
    lines: dict[str, list[Point]] = {}
    for names in find_methods(arms):
        runs = [arms[name][0] for name in names]
        mode = str(runs[-1].summary["config"].get("mode", names[-1]))
        title = mode if mode not in lines else names[-1]
        models = {title: names}
        for baseline in runs[0].baselines:
            own = [baseline_of(name, baseline, arms) for name in names]
            models[f"{title}: {SHOWN_AS.get(baseline, baseline)}"] = own
        for line, own in models.items():
            lines[line] = [
                Point(run.summary["config"].get(FRACTION, 1.0), model, found.auroc_macro)
                for run, model in zip(runs, own, strict=True)
                if (found := measured.models.get(model)) is not None
            ]
    return lines


def _is_of_method(setting: str) -> bool:
    """Return True for a setting that affects a model's scores."""
    return setting not in _NO_METHOD and not setting.startswith("supervised.")


@matplotlib.rc_context(STYLE)
def _draw(lines: Mapping[str, Sequence[Point]]) -> Figure:
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for i, (name, points) in enumerate(lines.items()):
        shares = [100 * point.fraction for point in points]
        estimate, low, high = np.array([point.auroc for point in points]).T
        colour = COLOURS[i % len(COLOURS)]
        axes.fill_between(shares, low, high, color=colour, alpha=0.15, linewidth=0)
        dash = _DASHES[i // len(COLOURS) % len(_DASHES)]
        axes.plot(shares, estimate, dash, color=colour, marker=_MARKERS[i % 4], label=name)
    ticks = sorted({100 * point.fraction for points in lines.values() for point in points})
    axes.set(xscale="log", xlabel="training patients, %", ylabel="macro AUROC")
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="y")
    axes.legend(loc="lower right")
    figure.set_label(f"Macro AUROC of {' and '.join(lines)} by share of training patients")
    return figure
