"""Sections of a report: sentences, figures and tables, which are files as well."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from lamae.figures.plots import as_svg, save_png
from lamae.files import open_whole, write_csv, write_json
from lamae.statistics.interval import Interval

REPORT = "report.json"
"""File beside a report with its sentences, captions and tables."""
_LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\N{EN DASH}": "--",
}

Cell = str | int | float | Interval | None
"""Of a table: None is left empty, what is not a number is written as unknown."""


class NamedFigure(NamedTuple):
    """A figure of a report."""

    name: str
    """Name of its files, without a suffix; that of no other figure of the report."""
    figure: Figure
    """The drawing; its label describes it to those who cannot see it."""
    caption: str = ""
    """Sentence below it, with the facts that a reader needs."""


class NamedTable(NamedTuple):
    """A table of a report."""

    name: str
    """Name of its file, without a suffix; that of no other table of the report."""
    caption: str
    """Caption above it."""
    columns: Sequence[str]
    """Names of the columns."""
    rows: Sequence[Sequence[Cell]]
    """From top to bottom, a cell for each column."""
    leading: int = 0
    """First rows that are set apart from the others, such as means."""
    on_page: bool = True
    """Show it on the page; otherwise it is a file alone."""


class Section(NamedTuple):
    """A part of a report under a heading of its own: sentences, then figures, then tables."""

    title: str
    """The heading."""
    text: Sequence[str] = ()
    """Sentences or paragraphs."""
    figures: Sequence[NamedFigure] = ()
    """Figures."""
    tables: Sequence[NamedTable] = ()
    """Tables."""
    is_prose: bool = False
    """Set the text as large as that of a page that is read, not as notes to figures."""


def write_sections(run_dir: Path, sections: Sequence[Section]) -> dict[str, str]:
    """Write what sections hold as files; return the SVG of each figure.

    Figures are figures/NAME.svg and .png and tables tables/NAME.csv; those of the page are .tex as
    well, and report.json has its sentences, captions and tables.
    """
    figures = [figure for section in sections for figure in section.figures]
    tables = [table for section in sections for table in section.tables]
    for names in ([figure.name for figure in figures], [table.name for table in tables]):
        if len(set(names)) < len(names):
            raise ValueError(f"figures or tables of one name: {sorted(names)}")
    drawn = {name: as_svg(figure) for name, figure, _ in figures}
    for name, figure, _ in figures:
        with open_whole(run_dir / "figures" / f"{name}.svg") as file:
            file.write(drawn[name].encode())
        save_png(figure, run_dir / "figures" / f"{name}.png")
    for table in tables:
        write_table(run_dir / "tables" / f"{table.name}.csv", table)
        if table.on_page:
            with open_whole(run_dir / "tables" / f"{table.name}.tex") as file:
                file.write(as_latex(table).encode())
    write_json(run_dir / REPORT, {"sections": [_as_json(section) for section in sections]})
    return drawn


def as_latex(table: NamedTable) -> str:
    """Return a table for LaTeX, with the rules of its package booktabs."""
    lines = [[_latex(str(name)) for name in table.columns]]
    lines += [[_latex_cell(cell) for cell in row] for row in table.rows]
    head, *body = (" & ".join(line) + r" \\" for line in lines)
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_latex(table.caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            *(r"\toprule", head, r"\midrule", *body, r"\bottomrule"),
            *(r"\end{tabular}", r"\end{table}", ""),
        ]
    )


def _latex_cell(cell: Cell) -> str:
    if isinstance(cell, Interval):
        return "" if math.isnan(cell.estimate) else str(cell).replace("-", r"$-$")
    return _latex(
        f"{cell:.3f}" if isinstance(cell, float) and not math.isnan(cell) else _value(cell)
    )


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _as_json(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "text": list(section.text),
        "figures": {figure.name: figure.caption for figure in section.figures},
        "tables": {
            table.name: {
                "caption": table.caption,
                "columns": list(table.columns),
                "rows": [[_json_cell(cell) for cell in row] for row in table.rows],
            }
            for table in section.tables
            if table.on_page
        },
    }


def _json_cell(cell: Cell) -> Any:
    if isinstance(cell, Interval):
        return {name: _json_cell(float(value)) for name, value in cell._asdict().items()}
    plain = cell.item() if isinstance(cell, np.generic) else cell
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def write_table(path: Path, table: NamedTable) -> None:
    """Write a table as CSV; an interval takes three columns, NAME, NAME_low and NAME_high."""
    columns = list(zip(*table.rows, strict=True)) or [() for _ in table.columns]
    wide = [any(isinstance(cell, Interval) for cell in column) for column in columns]
    header = zip(table.columns, wide, strict=True)
    rows = [
        [text for cell, is_wide in zip(row, wide, strict=True) for text in _values(cell, is_wide)]
        for row in table.rows
    ]
    write_csv(path, [name for column, is_wide in header for name in _names(column, is_wide)], rows)


def _names(column: str, is_wide: bool) -> Iterator[str]:
    yield column
    if is_wide:
        yield from (f"{column}_low", f"{column}_high")


def _values(cell: Cell, is_wide: bool) -> Iterator[str]:
    if isinstance(cell, Interval):
        yield from map(_value, cell)
        return
    yield _value(cell)
    if is_wide:
        yield from ("", "")


def _value(cell: str | int | float | None) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
