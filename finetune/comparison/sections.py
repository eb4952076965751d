"""Sections of a comparison: models on the same recordings, and differences to the first."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from finetune.comparison.collect import Run, tabulate
from finetune.comparison.common_recordings import Common
from finetune.comparison.finished_runs import FinishedRun
from finetune.reports.score_sections import curve_section
from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section
from lamae.figures.plots import COLOURS, MUTED, interval_plot
from lamae.statistics.delong import AurocDifference, auroc_difference, holm
from lamae.statistics.ranking_of_few import ScoreIntervals
from lamae.statistics.score_intervals import BootstrapScores

_MOST_CLASSES = 24
_MOST_DRAWN = len(COLOURS)
_FEWEST_PATIENTS = 2


def macro_section(common: Common, measured: BootstrapScores) -> Section:
    """Tabulate macro measures of all models, and draw them and their differences."""
    first = next(iter(measured.models))
    rows: list[list[Cell]] = []
    for name, found in measured.models.items():
        difference = measured.differences.get(name)
        between = [difference.auroc_macro, difference.auprc_macro] if difference else [None, None]
        seeds = len(common.models[name])
        rows.append([name, seeds, found.auroc_macro, found.auprc_macro, *between])
    columns = [
        "Model",
        "Seeds",
        "Macro AUROC",
        "Macro AUPRC",
        f"AUROC: {first} minus this",
        f"AUPRC: {first} minus this",
    ]
    estimates = [
        (name, {"macro AUROC": found.auroc_macro}) for name, found in measured.models.items()
    ]
    figures = [NamedFigure("macro_auroc", interval_plot(estimates, xlabel="macro AUROC"))]
    text = [
        f"{100 * measured.level:g} % intervals from {measured.resamples:,} bootstrap resamples of "
        "patients; they hold neither what other seeds would change nor a correction for several "
        "comparisons. Where a model has several seeds, measures are their means."
    ]
    table = NamedTable("models", "Means over classes", columns, rows, leading=1)
    return Section("All models on the same recordings", text, figures, [table])


def class_section(common: Common, measured: BootstrapScores, patients: Sequence[str]) -> Section:
    """Tabulate AUROC by class, and the differences to the first model by two methods."""
    names = [name for name in common.classes if name not in measured.left_out]
    names.sort(key=lambda name: -measured.positive_records[name])
    columns = ["Class", "Positives", *measured.models]
    rows: list[list[Cell]] = [
        [n, measured.positive_records[n], *(found.auroc[n] for found in measured.models.values())]
        for n in names
    ]
    tables = [
        NamedTable("auroc", "AUROC by class", columns, rows),
        _difference_table(common, measured, patients, names),
    ]
    caption = "From the most to the least frequent class."
    if len(measured.models) > _MOST_DRAWN:
        caption += f" The first {_MOST_DRAWN} of {len(measured.models)} models."
    if len(names) > _MOST_CLASSES:
        caption += f" The {_MOST_CLASSES} most frequent of {len(names)}."
    first = next(iter(measured.models))
    differences = _forest(measured.differences, names, f"{first} minus the other, AUROC")
    differences.axes[0].axvline(0, color=MUTED, linewidth=0.8)
    figures = [
        NamedFigure("classes", _forest(measured.models, names, "AUROC"), caption),
        NamedFigure(
            "differences",
            differences,
            f"Paired differences: both on the same resamples of patients. {caption}",
        ),
    ]
    return Section("By class", [], figures, tables)


def curves(common: Common) -> Section | None:
    """Draw curves of the first models, of one seed each; None for a cross-validation."""
    if common.is_cross_validated:
        return None
    drawn = list(common.models.items())[:_MOST_DRAWN]
    scores = {name: runs[0].scores[0] for name, runs in drawn}
    section = curve_section(common.labels, scores, common.classes)
    if len(common.models) > len(drawn) or any(len(runs) > 1 for _, runs in drawn):
        told = f"Of the first {len(drawn)} models, and the first seed of each."
        return section._replace(text=[told])
    return section


def settings_section(arms: Mapping[str, Sequence[FinishedRun]]) -> Section:
    """Tabulate the settings in which the runs differ."""
    runs = [
        Run(f"{name} ({run.folder.name})" if len(found) > 1 else name, "finished", run.summary)
        for name, found in arms.items()
        for run in found
    ]
    table = tabulate(runs)
    rows = [[row["run"], *(_written(row.get(key)) for key in table.settings)] for row in table.rows]
    tables = [NamedTable("settings", "Settings by run", ["Run", *table.settings], rows)]
    if not table.settings:
        return Section("What differs", ["No setting differs but the folders."])
    return Section("What differs", tables=tables)


def _forest(models: Mapping[str, ScoreIntervals], names: Sequence[str], xlabel: str) -> Figure:
    drawn = {name: found for name, found in list(models.items())[:_MOST_DRAWN]}
    rows = [("Macro average", {name: found.auroc_macro for name, found in drawn.items()})]
    for label in names[:_MOST_CLASSES]:
        rows.append((label, {name: found.auroc[label] for name, found in drawn.items()}))
    return interval_plot(rows, xlabel=xlabel)


def _difference_table(
    common: Common, measured: BootstrapScores, patients: Sequence[str], names: Sequence[str]
) -> NamedTable:
    first = next(iter(measured.models))
    columns = [f"{first} minus", "Class", "Difference", "DeLong", "p (DeLong)", "p (Holm)"]
    pairs = [
        (other, name, found.auroc[name])
        for other, found in measured.differences.items()
        for name in names
    ]
    tested = [_delong(common, other, name, patients) for other, name, _ in pairs]
    corrected = iter(holm([test.p_value for test in tested if test]))
    rows: list[list[Cell]] = [
        [*pair, test.difference, f"{test.p_value:.2g}", f"{next(corrected):.2g}"]
        if test
        else [*pair, None, None, None]
        for pair, test in zip(pairs, tested, strict=True)
    ]
    number = sum(test is not None for test in tested)
    caption = (
        "Differences of AUROC by class: intervals by bootstrap, and by DeLong's variance summed "
        "by patient where each model has one seed and one evaluation. p (Holm) is corrected for "
        f"the {number} tests of this table; no interval is"
    )
    return NamedTable("class_differences", caption, columns, rows)


def _delong(
    common: Common, other: str, name: str, patients: Sequence[str]
) -> AurocDifference | None:
    own = next(iter(common.models))
    column = common.classes.index(name)
    positive = common.labels[:, column]
    who = np.asarray(patients)
    fewest = min(len(np.unique(who[positive])), len(np.unique(who[~positive])))
    single = all(len(common.models[model]) == 1 for model in (own, other))
    if common.is_cross_validated or not single or fewest < _FEWEST_PATIENTS:
        return None
    scores = [common.models[model][0].scores[0, :, column] for model in (own, other)]
    return auroc_difference(positive, scores[0], scores[1], patients)


def _written(value: object) -> Cell:
    if value is None:
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)
