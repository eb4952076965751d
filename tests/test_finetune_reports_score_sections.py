"""Sections hold what the summary holds, and say how it came about."""

from typing import Any

import numpy as np
import pytest

from finetune.reports.score_sections import (
    audit_section,
    calibration_section,
    confusion_section,
    curve_section,
    decision_section,
)
from finetune.reports.sections import NamedTable, Section
from lamae.statistics.interval import Interval

CLASSES = tuple(f"class {number}" for number in range(15))


def interval(estimate: float) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1}


def summary(**changes: Any) -> dict[str, Any]:
    counts = {"true_positive": 3, "false_positive": 2, "false_negative": 1, "true_negative": 30}
    return {
        "f1_macro": interval(0.5),
        "f1_macro_random": interval(0.4),
        "f1_macro_difference": interval(0.1),
        "sensitivity_at_90_macro": interval(0.3),
        "brier_macro": interval(0.2),
        "classes_without_threshold": ["rare"],
        "per_class": {
            "rare": {"positives": 4, "threshold": None, "brier": interval(0.11), **counts},
            "MI": {"positives": 9, "f1": interval(0.6), "threshold": 0.25, **counts},
        },
        **changes,
    }


def table(section: Section, name: str) -> NamedTable:
    (found,) = (table for table in section.tables if table.name == name)
    return found


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    drawn = np.random.default_rng(0).random((400, 15)) < np.linspace(0.1, 0.5, 15)
    drawn[:, 3] = False
    return drawn


@pytest.fixture(scope="module")
def scores(labels: np.ndarray) -> dict[str, np.ndarray]:
    return {"pretrained": 0.3 * labels + 0.7 * np.random.default_rng(1).random(labels.shape)}


def test_of_many_classes_twelve_are_drawn_and_all_that_can_be_are_in_the_files(
    labels: np.ndarray, scores: dict[str, np.ndarray]
) -> None:
    section = curve_section(labels, scores, CLASSES)
    for figure in section.figures:
        panels = [axes.get_title().split("\n")[0] for axes in figure.figure.axes]
        assert panels == [CLASSES[i] for i in np.argsort(-labels.sum(axis=0), kind="stable")[:12]]
        assert "The 12 most frequent of 14 classes; all are in the tables." in figure.caption
    file = table(section, "curves")
    assert not file.on_page
    assert {row[0] for row in file.rows} == set(CLASSES) - {CLASSES[3]}
    last = [row for row in file.rows if row[0] == CLASSES[0]][-1]
    assert last[3:] == (1.0, 0.0, pytest.approx(labels[:, 0].mean()))
    by_bin = table(calibration_section(labels, scores, CLASSES, summary()), "reliability")
    recordings = [row for row in by_bin.rows if row[0] == CLASSES[0]]
    assert sum(row[4] for row in recordings if isinstance(row[4], int)) == 400


def test_means_stand_beside_those_of_the_baselines_and_classes_by_frequency() -> None:
    section = decision_section(summary(), multi_label=True)
    means = table(section, "decision_means")
    assert list(means.columns) == ["Measure", "Pretrained", "Random weights", "Difference"]
    assert [row[0] for row in means.rows] == ["F1", "Sensitivity at 90 % specificity"]
    assert means.rows[0][1] == Interval(0.5, 0.4, 0.6)
    decisions = table(section, "decisions")
    assert list(decisions.columns) == ["Class", "Positives", "F1"]
    assert [row[0] for row in decisions.rows] == ["MI", "rare"]
    thresholds = table(section, "thresholds")
    assert thresholds.rows[0] == ("MI", 0.25, 3, 2, 1, 30)
    unknown = thresholds.rows[1][1]
    assert isinstance(unknown, float) and np.isnan(unknown)
    assert "for want of patients: rare." in " ".join(section.text)


def test_a_task_of_one_class_each_says_that_the_likeliest_is_called() -> None:
    several, one = (
        " ".join(decision_section(summary(), multi_label=multi).text) for multi in (True, False)
    )
    assert "likeliest" in one and "likeliest" not in several
    thresholds = table(decision_section(summary(), multi_label=False), "thresholds")
    assert "Threshold" not in thresholds.columns


def test_the_challenge_score_is_shown_where_it_is_known() -> None:
    section = decision_section(summary(challenge_score=interval(0.4)), multi_label=True)
    last = table(section, "decision_means").rows[-1]
    assert list(last[:2]) == ["Challenge score", Interval(*interval(0.4).values())]
    told, without = " ".join(section.text), decision_section(summary(), multi_label=True).text
    assert "one threshold for all classes" in told
    assert "equivalent ones merged" in told
    assert "equivalent classes are not merged" in " ".join(without)


def test_the_confusion_matrix_is_whole_in_its_file() -> None:
    truth, called = np.random.default_rng(2).integers(0, 15, (2, 500))
    section = confusion_section(
        np.eye(15, dtype=bool)[truth], np.eye(15, dtype=bool)[called], CLASSES
    )
    rows = section.tables[0].rows
    assert rows[4][1 + 7] == ((truth == 4) & (called == 7)).sum()
    assert "12 most frequent of 15" in section.figures[0].caption


def test_the_audit_tells_what_was_not_compared_and_what_was_allowed() -> None:
    audit = {
        "training": {"patients": 2, "recordings": 3, "example": "r7"},
        "pretraining": {"not_audited": "no shards"},
        "allowed": ["training_patients"],
    }
    section = audit_section(audit)
    assert section.tables[0].rows == [
        ("training", 2, 3, "r7"),
        ("pretraining", "not audited", "not audited", None),
    ]
    assert list(section.text) == ["Allowed by name: training_patients."]
    others = {"patients": None, "recordings": 0, "example": ""}
    found = audit_section({"training": others, "allowed": []})
    assert found.tables[0].rows == [("training", "not compared", 0, None)]
    assert audit_section({"allowed": []}).tables == []
