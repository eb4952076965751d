"""One page that holds the numbers it was given, needs nothing else and trusts no text."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.reports.page import (
    diagnosis_section,
    facts,
    format_number,
    learning_curve_section,
    metric_tables,
)
from finetune.reports.page import write_report as write
from finetune.reports.sections import NamedFigure, NamedTable, Section
from lamae.figures.plots import ecg_paper

Interval = dict[str, float]


def interval(estimate: float) -> Interval:
    return {"estimate": estimate, "low": estimate - 0.01, "high": estimate + 0.02}


def summary(**changes: Any) -> dict[str, Any]:
    return {
        "auroc_macro": interval(0.8),
        "auroc_macro_random": interval(0.7),
        "auroc_macro_difference": interval(0.1),
        "auprc_macro": interval(0.55),
        "per_class": {
            "MI": {"positives": 12, "auroc": interval(0.81), "auroc_random": interval(0.71)},
            "NORM": {"positives": 1234, "auroc": interval(0.82), "auprc": interval(0.5)},
        },
        "config": {"encoder": {"lr": 0.001}},
        "command": "python finetune/main.py seed=3",
        "versions": {"torch": "2.13.0"},
        "seed": 3,
        "resamples": 2500,
        "level": 0.9,
        "seconds": {"training": 754.2, "evaluation": 9.04},
        "counts": {"train": {"records": 15422}, "val": {"records": 2183}},
        **changes,
    }


class Page(HTMLParser):
    """A page as a browser sees it: tags, attributes, ids, table cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "path", "use", "rect"):
            self.open.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]
        self.ids += [value or "" for key, value in attrs if key == "id"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "use", "rect"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += (" " if "small" in self.open else "") + data


def write_page(folder: Path, **changes: Any) -> str:
    path = folder / "report.html"
    found = changes.get("summary", summary())
    sections = [diagnosis_section(found), *changes.pop("sections", [])]
    given = {"title": "Probe", "findings": ["It works."], "summary": found, **changes}
    write(path, sections=sections, **given)
    return path.read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    figure = ecg_paper(np.zeros((2, 300)), ["I", "II"], sampling_rate=100)
    curve = [{"step": 1, "train/loss": 1.0}, {"step": 2, "train/loss": 0.5}]
    sections = [Section("Paper", figures=[NamedFigure("paper", figure, "Record 1.")])]
    losses = learning_curve_section(curve)
    assert losses is not None
    return write_page(tmp_path_factory.mktemp("report"), sections=[*sections, losses])


def test_the_page_is_well_formed_and_needs_nothing_outside_of_it(whole: str) -> None:
    page = Page(whole)
    assert page.open == []
    assert page.tags.count("svg") == 3
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.links
    assert all(link.startswith("#") for link in page.links)
    assert "@import" not in whole
    assert set(re.findall(r"url\((.)", whole)) == {"#"}


def test_no_id_occurs_twice_on_a_page_of_several_figures(whole: str) -> None:
    found = Page(whole).ids
    assert len(found) == len(set(found)) > 0


def test_the_first_finding_comes_before_every_number(tmp_path: Path) -> None:
    page = write_page(tmp_path, findings=["Pretraining helps.", "Less so for MI."])
    assert page.index("Pretraining helps.") < page.index("Less so for MI.") < page.index("0.800")


def test_table_cells_hold_estimates_and_intervals_of_the_summary(whole: str) -> None:
    rows = Page(whole).rows
    assert ["Class", "Positives", "Pretrained", "Random weights", "Difference"] in rows
    expected = ["Macro average", "", "0.800 0.790 to 0.820", "0.700 0.690 to 0.720"]
    assert [*expected, "0.100 0.090 to 0.120"] in [[" ".join(c.split()) for c in r] for r in rows]
    assert ["Train records", "15,422"] in rows
    assert ["Time training", "12 min 34 s"] in rows
    assert ["torch", "2.13.0"] in rows


def test_text_is_escaped_wherever_it_comes_from(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>"
    found = summary(command=evil, config={"a": evil}, versions={evil: evil}, counts={evil: 1})
    found["per_class"] = {evil: {"positives": 1, "auroc": interval(0.5)}}
    figure = ecg_paper(np.zeros((1, 300)), ["I"], sampling_rate=100, title=evil)
    table = NamedTable("t", evil, ["a", evil], [[evil, evil]])
    section = Section(evil, [evil], [NamedFigure("f", figure, evil)], [table])
    page = write_page(tmp_path, title=evil, findings=[evil], summary=found, sections=[section])
    assert "<script" not in page
    assert page.count(html.escape(evil, quote=False).split("alert")[0]) >= 13


def test_the_intervals_are_explained_as_they_were_made(whole: str) -> None:
    assert "its 90 % interval, from 2,500 bootstrap resamples of patients, stratified" in whole
    assert "AUROC with 90 % intervals" in whole
    assert "95 %" not in whole
    assert "1,000" not in whole


def test_a_summary_with_nothing_in_it_still_makes_a_page(tmp_path: Path) -> None:
    assert learning_curve_section([{"step": 1, "val/auroc_macro": 0.5}]) is None
    page = Page(write_page(tmp_path, summary={}))
    assert page.open == []
    assert "svg" not in page.tags


def test_a_failed_report_leaves_the_old_one_and_no_partial_file(tmp_path: Path) -> None:
    old = write_page(tmp_path)
    with pytest.raises(KeyError, match="high"):
        write_page(tmp_path, summary={"auroc_macro": {"estimate": 0.5, "low": 0.4}})
    assert (tmp_path / "report.html").read_text() == old
    assert not list(tmp_path.rglob("*.partial"))


def test_tables_have_macro_first_then_classes_by_frequency() -> None:
    auroc, auprc = metric_tables(summary())
    assert [row[:2] for row in auroc.rows] == [
        ("Macro average", None),
        ("NORM", 1234),
        ("MI", 12),
    ]
    assert auroc.leading == 1
    assert auroc.columns == ["Class", "Positives", "Pretrained", "Random weights", "Difference"]
    assert auprc.columns == ["Class", "Positives", "Pretrained"]
    assert auroc.rows[2][3] == pytest.approx((0.71, 0.70, 0.73))


def test_what_could_not_be_computed_is_a_dash(tmp_path: Path) -> None:
    nothing = {"estimate": None, "low": None, "high": float("nan")}
    found = summary()
    found["per_class"]["MI"]["auroc"] = nothing
    page = Page(write_page(tmp_path, summary=found))
    assert next(row for row in page.rows if row[0] == "MI")[2].strip() == "\u2013"


def test_facts_name_each_leaf_by_its_path() -> None:
    assert facts(summary()) == [
        ("seed", "3"),
        ("train records", "15,422"),
        ("val records", "2,183"),
        ("time training", "12 min 34 s"),
        ("time evaluation", "9.0 s"),
    ]
    assert facts({"seconds": 7384.0}) == [("time", "2 h 3 min")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (-0.5, "\u22120.500"),
        (-0.0004, "0.000"),
        (1234567, "1,234,567"),
        (-12, "\u221212"),
        (float("nan"), "\u2013"),
        (None, "\u2013"),
        (True, "True"),
        ("fold 9", "fold 9"),
    ],
)
def test_numbers_are_written_for_people(value: object, text: str) -> None:
    assert format_number(value) == text
