"""The section on groups: a forest plot, a table with reasons, and the number of comparisons."""

import csv
from pathlib import Path

from finetune.evaluation.group_results import GroupResult
from finetune.reports.group_section import EVERYONE, group_sections
from finetune.reports.sections import Section, write_sections
from lamae.statistics.interval import Interval

SUMMARY = {
    "auroc_macro": {"estimate": 0.8, "low": 0.7, "high": 0.9},
    "per_class": {f"class {number}": {} for number in range(9)},
}
MEASURED = GroupResult(
    fact="sex",
    name="F",
    records=90,
    patients=60,
    positive_patients={f"class {number}": 20 for number in range(8)},
    few=("class 3",),
    auroc={f"class {number}": Interval(0.7, 0.6, 0.8) for number in range(8)},
    auroc_macro=Interval(0.75, 0.6, 0.9),
    difference=Interval(-0.05, -0.2, 0.1),
    reason=None,
)
SMALL = MEASURED._replace(
    name="M", records=4, patients=3, auroc={}, auroc_macro=None, difference=None, reason="too few"
)


def written(section: Section, folder: Path, name: str) -> list[dict[str, str]]:
    write_sections(folder, [section])
    with (folder / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_every_group_and_the_figure_those_that_are_measured(tmp_path: Path) -> None:
    (section,) = group_sections([MEASURED, SMALL], SUMMARY)
    one, other = written(section, tmp_path, "groups")
    assert (one["Group"], one["Macro AUROC"], one["Macro AUROC_high"]) == ("F", "0.75", "0.9")
    assert (one["Difference to all"], one["Difference to all_low"]) == ("-0.05", "-0.2")
    assert (one["Classes"], one["Remark"]) == ("8 of 9", "without class 8; few class 3")
    assert (other["Recordings"], other["Macro AUROC"], other["Remark"]) == ("4", "", "too few")
    (drawn,) = section.figures
    labels = [label.get_text() for label in drawn.figure.axes[0].get_yticklabels()]
    assert labels == [EVERYONE, "sex F"]
    assert "1 group is too small" in drawn.caption
    assert "sex F 0.750 [0.600, 0.900]" in str(drawn.figure.get_label())


def test_the_file_by_class_names_every_class_of_a_group(tmp_path: Path) -> None:
    (section,) = group_sections([MEASURED, SMALL], SUMMARY)
    rows = written(section, tmp_path, "groups_by_class")
    assert len(rows) == 16
    assert [row["Class"] for row in rows if row["Few patients"] == "yes"] == ["class 3"] * 2
    assert [row["AUROC"] for row in rows if row["Group"] == "M"] == [""] * 8


def test_remarks_name_few_classes_and_count_many() -> None:
    every = {f"class {number}": 12 for number in range(9)}
    groups = [
        MEASURED._replace(positive_patients=every, few=tuple(every)[:4]),
        MEASURED._replace(positive_patients={"class 2": 50}, few=()),
    ]
    (section,) = group_sections(groups, SUMMARY)
    assert [row[-1] for row in section.tables[0].rows] == ["few 4 classes", "without 8 classes"]


def test_the_number_of_comparisons_is_said() -> None:
    (section,) = group_sections([MEASURED] * 20 + [SMALL], SUMMARY)
    assert "20 groups are compared" in section.text[-1]
    assert "about 1 of these 20 differences" in section.text[-1]


def test_without_a_measured_group_there_is_a_table_and_no_figure() -> None:
    (section,) = group_sections([SMALL], SUMMARY)
    assert not section.figures
    assert section.tables[0].rows[0][-1] == "too few"


def test_without_groups_there_is_no_section() -> None:
    assert group_sections([], SUMMARY) == []
