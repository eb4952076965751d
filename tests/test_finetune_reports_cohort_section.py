"""The first sections say of whom a result is, and add up."""

from typing import Any

import pytest

from finetune.reports.checklist import ITEMS, USER, checklist_section
from finetune.reports.cohort_section import cohort_section, plain_section
from finetune.settings import FinetuneSettings

STEPS = [
    {"step": "found in the source", "records": 120, "taken": {}},
    {"step": "written to the shards", "records": 110, "taken": {"flat_lead": 10}},
    {"step": "evaluated", "records": 30, "taken": {"in other splits": 80}},
]


def interval(estimate: float) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate - 0.02, "high": estimate + 0.02}


def part(records: int) -> dict[str, Any]:
    return {
        "records": records,
        "patients": records - 1,
        "classes": {"MI": {"records": 7, "patients": 6}, "rare": {"records": 1, "patients": 1}},
        "facts": {
            "age": {"quartiles": [51.0, 62.0, 70.0], "missing": 2},
            "sex": {
                "values": {"F": 12, "M": 18},
                "different": 2,
                "range": ["F", "M"],
                "missing": 0,
            },
        },
        "flags": {"flat_lead": 3},
    }


def summary(**changes: Any) -> dict[str, Any]:
    return {
        "cohort": {"train": part(80), "evaluation": part(30)},
        "flow": STEPS,
        "per_class": {"MI": {}, "rare": {}},
        "classes_of_few_patients": ["rare"],
        "auroc_macro": interval(0.8),
        "auroc_macro_frequent": interval(0.9),
        "auroc_macro_frequent_random": interval(0.7),
        "auroc_macro_frequent_difference": interval(0.2),
        **changes,
    }


def settings(**changes: Any) -> FinetuneSettings:
    return FinetuneSettings.model_validate({"data": "shards", "mode": "lasan", **changes})


def test_the_first_section_says_of_whom_what_and_what_it_is_not_for() -> None:
    text = " ".join(plain_section(summary(), settings()).text)
    for told in (
        "80 recordings of 79 patients",
        "30 recordings of 29 patients",
        "age 62 at the median, 51 to 70",
        "sex F 40 %, M 60 %",
        "90.0 % (95 % interval 88.0 to 92.0)",
        "random weights it is 70.0 % (95 % interval 68.0 to 72.0): clearly less",
        "may not be used to diagnose",
    ):
        assert told in text
    assert "80.0 %" not in text  # the mean with the rare class is not the headline


@pytest.mark.parametrize(("split", "told"), [("val", "for development"), ("test", "final")])
def test_a_result_on_a_split_says_what_the_split_is_for(split: str, told: str) -> None:
    assert told in " ".join(plain_section(summary(), settings(eval_split=split)).text)


def test_the_cohort_has_both_columns_what_is_missing_and_every_step() -> None:
    section = cohort_section(summary())
    table, flow = section.tables
    rows = {(row[0], row[1]): tuple(row[2:]) for row in table.rows}
    assert rows["Recordings", None] == (80, 30)
    assert rows["Age", "missing"] == (2, 2)
    assert rows["Sex", "F"] == (12, 12) and rows["Class rare", "patients"] == (1, 1)
    assert rows["Flag flat_lead", "recordings"] == (3, 3)
    left = 120
    for (_, records, _, taken), step in zip(flow.rows, STEPS, strict=True):
        left -= int(str(taken or 0))
        assert records == left == step["records"]
    assert "110" in str(section.figures[0].figure.get_label())


def test_each_item_of_the_checklist_is_answered_or_left_to_the_user() -> None:
    (table,) = checklist_section().tables
    assert [row[0] for row in table.rows] == [number for number, _, _ in ITEMS]
    assert len({number for number, _, _ in ITEMS}) == len(ITEMS)
    assert {int(number.rstrip("abcdefg").split("a-")[0]) for number, _, _ in ITEMS} == {
        *range(1, 28)
    }
    assert all(answer for _, _, answer in ITEMS) and any(USER in a for _, _, a in ITEMS)
