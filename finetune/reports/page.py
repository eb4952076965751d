"""The report of a classifier: one HTML file with its numbers, figures and how they came about."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from markupsafe import Markup
from matplotlib.figure import Figure

from lamae.pages import write_page
from lamae.plots import Interval, as_svg, interval_plot, learning_curve

ENCODER, RANDOM, DIFFERENCE = "pretrained", "random weights", "difference"
SUPERVISED, SUPERVISED_DIFFERENCE = "supervised network", "difference to it"

_METRICS = {"auroc": "AUROC", "auprc": "AUPRC"}
_SUFFIXES = {
    ENCODER: "",
    RANDOM: "_random",
    DIFFERENCE: "_difference",
    SUPERVISED: "_supervised",
    SUPERVISED_DIFFERENCE: "_supervised_difference",
}
_UNKNOWN = (math.nan, math.nan, math.nan)


class Row(NamedTuple):
    """One class of a table, or the mean over all."""

    name: str
    """The class."""
    positives: int | None
    """Records that show it; None for the mean over classes."""
    intervals: dict[str, Interval]
    """For each column, the estimate with its interval; not a number where it is unknown."""


class Table(NamedTuple):
    """One metric of a classifier beside its baselines."""

    metric: str
    """AUROC or AUPRC."""
    columns: list[str]
    """What is known for at least one row."""
    rows: list[Row]
    """The macro average, then the classes from the most to the least frequent."""


def write_report(
    path: Path,
    *,
    title: str,
    findings: Sequence[str],
    summary: Mapping[str, Any],
    curve: Sequence[Mapping[str, Any]] | None = None,
    reconstruction: Figure | None = None,
    caption: str = "",
) -> None:
    """Write one HTML file that needs nothing outside of it, whole or not at all.

    Args:
        path: where to write it.
        title: of the page.
        findings: sentences, the most important first.
        summary: what the program writes to summary.json; see `metric_tables`, `intervals_from`
            and `facts`.
        curve: the rows of metrics.jsonl; without a loss in them no curve is drawn.
        reconstruction: a figure of `lamae.plots.ecg_paper`.
        caption: what the reconstruction shows.
    """
    tables = metric_tables(summary)
    write_page(
        path,
        Path(__file__).with_name("report.html.j2"),
        title=title,
        findings=findings,
        tables=tables,
        interval=interval_name(summary),
        intervals=intervals_from(summary),
        forest=_svg(_forest(tables[0]) if tables else None),
        curve=_svg(_curve(curve or ())),
        reconstruction=_svg(reconstruction),
        caption=caption,
        command=summary.get("command", ""),
        config=yaml.safe_dump(summary.get("config", {}), sort_keys=False, allow_unicode=True),
        facts=facts(summary),
        versions=summary.get("versions", {}),
        number=format_number,
    )


def metric_tables(summary: Mapping[str, Any]) -> list[Table]:
    """Arrange the summary as one table for each metric that it holds.

    It is read from `auroc_macro`, `auroc_macro_random`, `auroc_macro_difference`,
    `auroc_macro_supervised` and `auroc_macro_supervised_difference`, for each class from
    `per_class[name]` with `positives`, `auroc`, `auroc_random` and so on, and from the same for
    `auprc`; each is `{estimate, low, high}`, and all but the first optional.
    """
    classes = summary.get("per_class", {})
    names = sorted(classes, key=lambda name: -classes[name]["positives"])
    tables = []
    for key, metric in _METRICS.items():
        if f"{key}_macro" not in summary:
            continue
        rows = [Row("Macro average", None, _intervals(summary, f"{key}_macro"))]
        rows += [
            Row(name, classes[name]["positives"], _intervals(classes[name], key)) for name in names
        ]
        known = [
            column
            for column in _SUFFIXES
            if any(not math.isnan(row.intervals[column][0]) for row in rows)
        ]
        tables.append(Table(metric, known, rows))
    return tables


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


def _intervals(found: Mapping[str, Any], key: str) -> dict[str, Interval]:
    return {column: _interval(found.get(key + suffix)) for column, suffix in _SUFFIXES.items()}


def _interval(found: Mapping[str, float | None] | None) -> Interval:
    if found is None:
        return _UNKNOWN
    # JSON has no NaN: what could not be computed may be null.
    ends = [found[end] for end in ("estimate", "low", "high")]
    estimate, low, high = (math.nan if end is None else float(end) for end in ends)
    return estimate, low, high


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


def _forest(table: Table) -> Figure:
    differences = (DIFFERENCE, SUPERVISED_DIFFERENCE)
    models = [column for column in table.columns if column not in differences]
    rows = [(row.name, {model: row.intervals[model] for model in models}) for row in table.rows]
    return interval_plot(rows, xlabel=table.metric)


def _curve(rows: Sequence[Mapping[str, Any]]) -> Figure | None:
    has_loss = any(row.get(key) is not None for row in rows for key in ("train/loss", "val/loss"))
    return learning_curve(rows) if has_loss else None


def _svg(figure: Figure | None) -> Markup | None:
    """Vouch for our own SVG; all else on the page is escaped."""
    return None if figure is None else Markup(as_svg(figure))
