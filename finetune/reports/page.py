"""The report of a classifier: one HTML file with its numbers, figures and how they came about."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section, write_sections
from lamae.figures.pages import write_page
from lamae.figures.plots import interval_plot, learning_curve
from lamae.statistics.interval import Interval

ENCODER, RANDOM, DIFFERENCE = "pretrained", "random weights", "difference"
SUPERVISED, SUPERVISED_DIFFERENCE = "supervised network", "difference to it"

SHOWN_AS = {"random": RANDOM, "supervised": SUPERVISED}
"""Names of the baselines on a page."""

_METRICS = {"auroc": "AUROC", "auprc": "AUPRC"}
_SUFFIXES = {
    ENCODER: "",
    RANDOM: "_random",
    DIFFERENCE: "_difference",
    SUPERVISED: "_supervised",
    SUPERVISED_DIFFERENCE: "_supervised_difference",
}
_UNKNOWN = Interval(math.nan, math.nan, math.nan)
_MOST_CLASSES = 24


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
        f"{intervals_from(summary)}."
    ]
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
    comes first, then the classes from the most to the least frequent.
    """
    classes = summary.get("per_class", {})
    names = by_frequency(summary)
    tables = []
    for key, metric in _METRICS.items():
        if f"{key}_macro" not in summary:
            continue
        rows = [("Macro average", None, intervals_by_column(summary, f"{key}_macro"))]
        rows += [(n, classes[n]["positives"], intervals_by_column(classes[n], key)) for n in names]
        known = [c for c in _SUFFIXES if any(not math.isnan(row[2][c].estimate) for row in rows)]
        cells = [(name, positives, *(found[c] for c in known)) for name, positives, found in rows]
        columns = ["Class", "Positives", *map(capitalised, known)]
        tables.append(NamedTable(key, metric, columns, cells, leading=1))
    return tables


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


def format_number(value: Any) -> str:
    """Write an integer with thousands separators, a fraction with three decimals.

    The minus sign is a true one; what is not a number becomes a dash, and text stays text.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "\u2013"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and round(value, 3) == 0:
        return "0.000"  # without the sign of what was rounded away
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
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
    differences = {capitalised(column) for column in (DIFFERENCE, SUPERVISED_DIFFERENCE)}
    models = [i for i, column in enumerate(table.columns) if i > 1 and column not in differences]
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
