"""Sections of a report: sentences, figures and tables, which are files as well."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from lamae.figures.plots import as_svg, save_png
from lamae.files import open_whole, write_csv
from lamae.statistics.interval import Interval

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


def write_sections(run_dir: Path, sections: Sequence[Section]) -> dict[str, str]:
    """Write figures/NAME.svg and .png, and tables/NAME.csv; return the SVG of each figure."""
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
    return drawn


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
