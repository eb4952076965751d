"""The report of a classifier: one HTML file with its numbers, figures and how they came about."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from finetune.evaluation.ranking_measures import FREQUENT
from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section, write_sections
from lamae.figures.pages import write_page
from lamae.figures.plots import interval_plot, learning_curve
from lamae.statistics.interval import Interval

ENCODER, RANDOM, DIFFERENCE = "pretrained", "random weights", "difference"
SUPERVISED, SUPERVISED_DIFFERENCE = "supervised network", "difference to it"
KERNELS, KERNELS_DIFFERENCE = "untrained kernels", "difference to kernels"
KERNELS_AND_ENCODER, ADDED = "kernels and encoder", "added to kernels"

SHOWN_AS = {
    "random": RANDOM,
    "supervised": SUPERVISED,
    "kernels": KERNELS,
    "kernels_and_encoder": KERNELS_AND_ENCODER,
}
"""Names of the baselines on a page."""

_METRICS = {"auroc": "AUROC", "auprc": "AUPRC"}
_SUFFIXES = {
    ENCODER: "",
    RANDOM: "_random",
    DIFFERENCE: "_difference",
    SUPERVISED: "_supervised",
    SUPERVISED_DIFFERENCE: "_supervised_difference",
    KERNELS: "_kernels",
    KERNELS_DIFFERENCE: "_kernels_difference",
    KERNELS_AND_ENCODER: "_kernels_and_encoder",
    ADDED: "_added",
}
_DIFFERENCES = (DIFFERENCE, SUPERVISED_DIFFERENCE, KERNELS_DIFFERENCE, ADDED)
_UNKNOWN = Interval(math.nan, math.nan, math.nan)
_MOST_CLASSES = 24
_NO_MODELS = ("Class", "Positives", "Patients")
_OF_ALL = "Macro average, all classes"


def write_report(
    path: Path,
    *,
    title: str,
    findings: Sequence[str],
    summary: Mapping[str, Any],
    sections: Sequence[Section],
) -> None:
    """Write one HTML file that needs nothing outside of it, whole or not at all.

    Beside it go the figures and tables of its sections, as files.

    Args:
        path: where to write it.
        title: of the page.
        findings: sentences, the most important first.
        summary: what the program writes to summary.json, for how it was made; see `facts`.
        sections: what the page shows, in this order.
    """
    drawn = write_sections(path.parent, sections)
    write_page(
        path,
        Path(__file__).with_name("page.html.j2"),
        title=title,
        findings=findings,
        sections=sections,
        drawn={name: Markup(svg) for name, svg in drawn.items()},  # our own; all else is escaped
        is_interval=lambda cell: isinstance(cell, Interval),
        command=summary.get("command", ""),
        config=yaml.safe_dump(summary.get("config", {}), sort_keys=False, allow_unicode=True),
        facts=facts(summary),
        versions=summary.get("versions", {}),
        number=format_number,
    )


def diagnosis_section(summary: Mapping[str, Any]) -> Section:
    """Show how well a classifier ranks beside its baselines; see `metric_tables`."""
    tables = metric_tables(summary)
    text = [
        f"Each estimate is followed by its {interval_name(summary)}, from "
        f"{intervals_from(summary)}; for few patients and for a perfect ranking it is widened."
    ]
    differences = [
        interval
        for table in tables
        for column, name in enumerate(table.columns)
        if name in map(capitalised, _DIFFERENCES)
        for interval in (row[column] for row in table.rows[table.leading :])
        if isinstance(interval, Interval) and not math.isnan(interval.estimate)
    ]
    if len(differences) > 1:
        chance = (1 - summary.get("level", 0.95)) * len(differences)
        text.append(
            f"{len(differences)} differences by class are shown, and none is corrected for their "
            f"number: if no classifiers differed, about {chance:.2g} would exclude 0 by chance."
        )
    if summary.get("classes_of_few_patients"):
        text.append(
            "Classes that fewer patients have, or lack, than min_positive_patients= are in tables "
            "of their own and in no headline: chance moves them most."
        )
    figures = [_forest(table, summary) for table in tables[:1]]
    return Section("Diagnosis, beside its baselines", text, figures, tables)


def learning_curve_section(rows: Sequence[Mapping[str, Any]]) -> Section | None:
    """Show the losses of metrics.jsonl; None where it holds none."""
    if not any(row.get(key) is not None for row in rows for key in ("train/loss", "val/loss")):
        return None
    figure = NamedFigure("learning_curve", learning_curve(rows))
    return Section("Learning curve of pretraining", figures=[figure])


def metric_tables(summary: Mapping[str, Any]) -> list[NamedTable]:
    """Arrange the summary as one table for each ranking metric that it holds.

    It is read from `auroc_macro`, `auroc_macro_random`, `auroc_macro_difference`,
    `auroc_macro_supervised` and `auroc_macro_supervised_difference`, for each class from
    `per_class[name]` with `positives`, `auroc`, `auroc_random` and so on, and from the same for
    `auprc`; each is `{estimate, low, high}`, and all but the first optional. The macro average
    comes first, then the classes from the most to the least frequent. Classes of few patients are
    in a table of their own, and the headline's average, `auroc_macro_frequent`, is without them.
    """
    tables = []
    few = summary.get("classes_of_few_patients", [])
    names = [name for name in by_frequency(summary) if name not in few]
    for key, metric in _METRICS.items():
        if f"{key}_macro" not in summary:
            continue
        means = {"Macro average": f"{key}_macro"}
        if f"{key}{FREQUENT}" in summary:
            every = len(summary["per_class"])
            mean = f"Macro average, {len(names)} of {every} classes"
            means = {mean: f"{key}{FREQUENT}", _OF_ALL: f"{key}_macro"}
        rows: list[_Row] = [
            (n, None, None, intervals_by_column(summary, mean)) for n, mean in means.items()
        ]
        rows += _class_rows(summary, names, key)
        tables.append(_metric_table(key, metric, rows, leading=len(means)))
    for key, metric in _METRICS.items():
        if few and f"{key}_macro" in summary:
            rows = _class_rows(summary, [n for n in by_frequency(summary) if n in few], key)
            caption = f"{metric} of classes of few patients, which no headline counts"
            tables.append(_metric_table(f"{key}_of_few", caption, rows, leading=0))
    return tables


_Row = tuple[str, int | None, int | None, dict[str, Interval]]


def _class_rows(summary: Mapping[str, Any], names: Sequence[str], key: str) -> list[_Row]:
    found = [(name, summary["per_class"][name]) for name in names]
    return [
        (n, own["positives"], own.get("positive_patients"), intervals_by_column(own, key))
        for n, own in found
    ]


def _metric_table(name: str, caption: str, rows: Sequence[_Row], *, leading: int) -> NamedTable:
    known = [c for c in _SUFFIXES if any(not math.isnan(row[-1][c].estimate) for row in rows)]
    has_patients = any(row[2] is not None for row in rows)
    cells = [
        (n, positives, *([patients] if has_patients else []), *(found[c] for c in known))
        for n, positives, patients, found in rows
    ]
    columns = ["Class", "Positives", *(["Patients"] if has_patients else [])]
    return NamedTable(name, caption, [*columns, *map(capitalised, known)], cells, leading)


def by_frequency(summary: Mapping[str, Any]) -> list[str]:
    """Return the classes of a summary, from the most to the least frequent."""
    classes = summary.get("per_class", {})
    return sorted(classes, key=lambda name: -classes[name]["positives"])


def interval_name(summary: Mapping[str, Any]) -> str:
    """Name an interval by its `level`, where the summary has one."""
    return f"{100 * summary['level']:g} % interval" if "level" in summary else "interval"


def intervals_from(summary: Mapping[str, Any]) -> str:
    """Say how the intervals were made, with the number of `resamples` where it is known."""
    count = f"{format_number(summary['resamples'])} " if "resamples" in summary else ""
    return f"{count}bootstrap resamples of patients, stratified"


def facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the seed, the counts and the durations of the summary as pairs of name and text."""
    found = [("seed", str(summary["seed"]))] if "seed" in summary else []
    found += [(name, format_number(value)) for name, value in _leaves(summary.get("counts", {}))]
    found += [
        (f"time {name}".strip(), _duration(value))
        for name, value in _leaves(summary.get("seconds", {}))
    ]
    return found


def format_number(value: Any, digits: int = 3) -> str:
    """Write an integer with thousands separators, a fraction with three decimals or others.

    The minus sign is a true one; what is not a number becomes a dash, and text stays text.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "\u2013"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and round(value, digits) == 0:
        return f"{0:.{digits}f}"  # without the sign of what was rounded away
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"
    return text.replace("-", "\u2212")


def intervals_by_column(found: Mapping[str, Any], key: str) -> dict[str, Interval]:
    """Return a measure of the classifier, its baselines and differences, by name of a column."""
    return {column: interval_of(found.get(key + suffix)) for column, suffix in _SUFFIXES.items()}


def interval_of(found: Mapping[str, float | None] | None) -> Interval:
    """Return what a summary holds as an interval; None, for all or an end, is not a number."""
    if found is None:
        return _UNKNOWN
    # JSON has no NaN: what could not be computed may be null.
    ends = [found[end] for end in Interval._fields]
    return Interval(*(math.nan if end is None else float(end) for end in ends))


def _leaves(found: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten nested mappings; the name of a leaf is the words on the way to it."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield from _leaves(value, f"{name} {key}".strip().replace("_", " "))
    else:
        yield name, found


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def capitalised(text: str) -> str:
    """Return a text with its first letter large and the others as they are."""
    return text[:1].upper() + text[1:]


def _forest(table: NamedTable, summary: Mapping[str, Any]) -> NamedFigure:
    """Draw the means and the most frequent classes of a table, without its differences."""
    differences = {capitalised(column) for column in _DIFFERENCES}
    known = {*differences, *_NO_MODELS}
    models = [i for i, column in enumerate(table.columns) if column not in known]
    shown = table.rows[: table.leading + _MOST_CLASSES]
    rows = [
        (str(row[0]), {table.columns[i]: _as_interval(row[i]) for i in models}) for row in shown
    ]
    caption = (
        f"{table.caption} with {interval_name(summary)}s, classes from the most to the least "
        "frequent."
    )
    if len(shown) < len(table.rows):
        caption += f" The {_MOST_CLASSES} most frequent of {len(table.rows) - table.leading}."
    return NamedFigure("intervals", interval_plot(rows, xlabel=table.caption), caption)


def _as_interval(cell: Cell) -> Interval:
    return cell if isinstance(cell, Interval) else _UNKNOWN
