"""The report of a detector: one HTML file with its measures, its curves and where it looks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from markupsafe import Markup
from matplotlib.figure import Figure

from finetune.anomaly.measures import Measured
from lamae.bootstrap import Interval
from lamae.pages import write_page
from lamae.plots import as_svg

_COLUMNS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity_at_90_specificity": "Sensitivity at 90 % specificity",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}


class TableRow(NamedTuple):
    """One line of a table."""

    name: str
    """What it is of."""
    chosen: bool
    """Whether it is what the detector decides by."""
    cells: list[tuple[str, str]]
    """A number as text, and its interval, which may be empty."""


class AnomalyTable(NamedTuple):
    """A table of the page."""

    title: str
    """Its heading."""
    note: str
    """What a reader has to know."""
    first: str
    """Heading of the names."""
    columns: list[str]
    """Headings of the other columns."""
    rows: list[TableRow]
    """Its lines."""


class FigureSection(NamedTuple):
    """A figure of the page with its heading."""

    title: str
    """Its heading."""
    svg: Markup
    """The figure."""
    caption: str
    """What it shows."""


def figure_section(title: str, figure: Figure, caption: str) -> FigureSection:
    """Return a section of our own SVG, which is vouched for; all else on the page is escaped."""
    return FigureSection(title, Markup(as_svg(figure)), caption)


def measure_tables(measured: Measured, *, score: str, rule: str) -> list[AnomalyTable]:
    """Return a table of all scores, and one of all rules for the chosen score."""
    ranking = [
        TableRow(name, name == score, [_cell(value) for value in found.values()])
        for name, found in measured.ranking.items()
    ]
    columns = [_COLUMNS[name] for name in next(iter(measured.ranking.values()))]
    deciding = [
        TableRow(
            name,
            name == rule,
            [
                (f"{measured.thresholds[name].values[0]:.4g}", ""),
                *(_cell(value) for value in found.values()),
            ],
        )
        for name, found in measured.deciding.items()
    ]
    found_columns = [_COLUMNS[name] for name in next(iter(measured.deciding.values()))]
    return [
        AnomalyTable(
            "How well scores tell abnormal recordings",
            "Each estimate with its interval, from bootstrap resamples of patients. In bold the "
            "score that was chosen before.",
            "Score",
            columns,
            ranking,
        ),
        AnomalyTable(
            f"What thresholds of score {score} achieve",
            "Thresholds were chosen on held-out patients of the training split. In bold the rule "
            "that the detector keeps.",
            "Rule",
            ["Threshold", *found_columns],
            deciding,
        ),
    ]


def write_anomaly_report(
    path: Path,
    *,
    title: str,
    findings: Sequence[str],
    tables: Sequence[AnomalyTable],
    figures: Sequence[FigureSection],
    summary: Mapping[str, Any],
) -> None:
    """Write one HTML file that needs nothing outside of it, whole or not at all."""
    write_page(
        path,
        Path(__file__).with_name("report.html.j2"),
        title=title,
        findings=findings,
        tables=tables,
        figures=figures,
        command=summary["command"],
        config=yaml.safe_dump(summary["config"], sort_keys=False, allow_unicode=True),
    )


def _cell(value: Interval) -> tuple[str, str]:
    return f"{value.estimate:.3f}", f"{value.low:.3f} to {value.high:.3f}"
