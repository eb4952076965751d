"""Figures and tables of a report are files as well, and hold what the page shows."""

import csv
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from finetune.reports.sections import (
    Cell,
    NamedFigure,
    NamedTable,
    Section,
    write_sections,
    write_table,
)
from lamae.files import printable, read_csv, read_json
from lamae.statistics.interval import Interval

PNG = b"\x89PNG\r\n\x1a\n"


def test_every_figure_and_table_is_a_file_by_its_name(tmp_path: Path) -> None:
    table = NamedTable("numbers", "Numbers", ["a"], [["x"]], on_page=False)
    sections = [
        Section("One", figures=[NamedFigure("left", Figure()), NamedFigure("right", Figure())]),
        Section("Two", tables=[table]),
    ]
    drawn = write_sections(tmp_path, sections)
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    figures = {f"figures/{name}.{kind}" for name in drawn for kind in ("svg", "png")}
    assert files == figures | {"tables/numbers.csv", "report.json"} and list(drawn) == [
        "left",
        "right",
    ]
    assert (tmp_path / "figures/left.svg").read_text() == drawn["left"]
    assert (tmp_path / "figures/left.png").read_bytes().startswith(PNG)


def test_a_name_that_would_replace_another_file_is_refused(tmp_path: Path) -> None:
    twice = [NamedFigure("same", Figure()), NamedFigure("same", Figure())]
    with pytest.raises(ValueError, match="one name"):
        write_sections(tmp_path, [Section("One", figures=twice[:1]), Section("Two", figures=twice)])
    assert not list(tmp_path.iterdir())


def test_an_interval_takes_three_columns_and_what_is_unknown_is_empty(tmp_path: Path) -> None:
    unknown = Interval(math.nan, math.nan, math.nan)
    rows: list[list[Cell]] = [
        ["mean, of all", None, Interval(0.5, -0.4, 0.625)],
        ["MI", 12, unknown],
        ["CD", 3, None],
    ]
    write_table(tmp_path / "t.csv", NamedTable("t", "", ["c", "n", "auroc"], rows))
    with (tmp_path / "t.csv").open(newline="") as file:
        read = list(csv.reader(file))
    assert read == [
        ["c", "n", "auroc", "auroc_low", "auroc_high"],
        ["mean, of all", "", "0.5", "-0.4", "0.625"],
        ["MI", "12", "", "", ""],
        ["CD", "3", "", "", ""],
    ]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(), st.floats(-1e9, 1e9), st.integers()), min_size=1, max_size=5))
def test_a_table_comes_back_from_its_csv(
    tmp_path: Path, rows: list[tuple[str, float, int]]
) -> None:
    write_table(tmp_path / "t.csv", NamedTable("t", "", ["text", "float", "integer"], rows))
    header, read = read_csv(tmp_path / "t.csv")
    assert header == ["text", "float", "integer"]
    assert [row["text"] for row in read] == [printable(text) for text, _, _ in rows]
    assert [float(row["float"]) for row in read] == pytest.approx([v for _, v, _ in rows], 1e-5)
    assert [int(row["integer"]) for row in read] == [number for _, _, number in rows]


def test_a_table_of_the_page_is_for_latex_and_json_as_well(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [
        ["50 % & more_of #1", 3, Interval(0.5, -0.4, 0.625)],
        ["none", None, math.nan],
    ]
    shown = NamedTable("numbers", "Share of 100 %", ["a", "n", "b"], rows)
    hidden = shown._replace(name="long", on_page=False)
    write_sections(tmp_path, [Section("One", ["Said."], tables=[shown, hidden])])
    text = (tmp_path / "tables/numbers.tex").read_text()
    assert r"50 \% \& more\_of \#1 & 3 & 0.500 [$-$0.400, 0.625] \\" in text
    assert r"none &  &  \\" in text and r"\caption{Share of 100 \%}" in text
    assert not (tmp_path / "tables/long.tex").exists()
    (section,) = read_json(tmp_path / "report.json")["sections"]
    assert section["title"] == "One" and section["text"] == ["Said."]
    assert list(section["tables"]) == ["numbers"]
    assert section["tables"]["numbers"]["rows"] == [
        ["50 % & more_of #1", 3, {"estimate": 0.5, "low": -0.4, "high": 0.625}],
        ["none", None, None],
    ]
