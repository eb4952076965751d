"""Sections on leads: quartiles of the recordings with a class, and limits that are stated."""

import csv
from pathlib import Path

import numpy as np
import pytest

from finetune.data.tasks import LabelledRows, Task
from finetune.evaluation.lead_masking import LeadNeed, lead_sets, measure_lead_need
from finetune.experiment.train_and_score import CandidateResult, ExperimentResults
from finetune.reports.lead_figures import PANELS
from finetune.reports.lead_sections import lead_need_summary, lead_sections
from finetune.reports.sections import Section, write_sections
from lamae.ecg.leads import LEADS

LEADS_OF_THREE = ("I", "II", "V1")


def compared(
    labels: np.ndarray, *, weights: np.ndarray | None = None, gate: np.ndarray | None = None
) -> ExperimentResults:
    classes = tuple(f"class {number}" for number in range(labels.shape[1]))
    patients = [str(number) for number in range(len(labels))]
    part = LabelledRows(np.arange(len(labels)), labels, patients, 0, 0, 0)
    result = CandidateResult(np.zeros(labels.shape), np.zeros(len(classes)), {}, weights, gate)
    return ExperimentResults({"lasan": result}, Task(classes, part, part), {})


def members_of(classes: int) -> np.ndarray:
    """The first class has most recordings, the last none."""
    number = np.arange(60)[:, None]
    return number < 60 - 60 // classes * (1 + np.arange(classes))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def panels(section: Section) -> list[str]:
    (figure,) = section.figures
    return [axes.get_title(loc="left") for axes in figure.figure.axes if axes.get_visible()]


def test_weights_and_gates_are_quartiles_of_the_recordings_that_show_a_class(
    tmp_path: Path,
) -> None:
    labels = np.array([[True, False]] * 5 + [[True, True]] * 3 + [[False, False]] * 4)
    generator = np.random.default_rng(0)
    weights = generator.dirichlet(np.ones(3), len(labels))
    gate = generator.random(len(labels))
    sections = lead_sections(compared(labels, weights=weights, gate=gate), LEADS_OF_THREE, None)
    assert [section.title for section in sections] == [
        "How it weighs the leads",
        "What the hybrid takes from its encoder",
    ]
    write_sections(tmp_path, sections)
    rows = read(tmp_path / "tables" / "lead_weights.csv")
    assert [(row["Class"], row["Lead"]) for row in rows] == [
        (name, lead) for name in ("class 0", "class 1") for lead in LEADS_OF_THREE
    ]
    ordered = np.sort(weights[5:8], axis=0)  # of three, quartiles lie halfway to the median
    for row, (low, middle, high) in zip(rows[3:], ordered.T, strict=True):
        assert int(row["Recordings"]) == 3
        assert float(row["Median"]) == pytest.approx(middle, rel=1e-5)
        assert float(row["Lower quartile"]) == pytest.approx((low + middle) / 2, rel=1e-5)
        assert float(row["Upper quartile"]) == pytest.approx((high + middle) / 2, rel=1e-5)
    gates = read(tmp_path / "tables" / "gate.csv")
    assert float(gates[1]["Median"]) == pytest.approx(np.sort(gate[5:8])[1], rel=1e-5)


def test_a_classifier_without_weights_has_nothing_to_show() -> None:
    labels = members_of(3)
    assert lead_sections(compared(labels), LEADS_OF_THREE, None) == []
    assert lead_need_summary(None) == {}


def test_figures_hold_the_most_frequent_classes_and_tables_all(tmp_path: Path) -> None:
    labels = members_of(20)
    frequent = np.flatnonzero(labels.any(axis=0))
    generator = np.random.default_rng(0)
    weights = generator.dirichlet(np.ones(12), len(labels))
    sets = lead_sets(LEADS)
    scores = {shown: generator.random(labels.shape) for shown in sets.distinct()}
    found = compared(labels, weights=weights)
    part = found.task.evaluation
    measured = measure_lead_need(
        scores,
        labels,
        part.patients,
        classes=found.task.classes,
        generator=generator,
        resamples=20,
    )
    sections = lead_sections(found, LEADS, LeadNeed(sets, measured))
    for section in (sections[0], sections[1], sections[3]):
        shown = panels(section)
        assert len(shown) == PANELS
        drawn = [f"class {number}" for number in frequent]
        assert shown == ["Macro average", *drawn][:PANELS] or shown == drawn[:PANELS]
        assert f"The first {PANELS} of" in section.figures[0].caption
    write_sections(tmp_path, sections)
    every = {f"class {number}" for number in frequent}
    for name in ("lead_masking_by_class", "lead_alone", "fewer_leads_by_class", "lead_weights"):
        rows = read(tmp_path / "tables" / f"{name}.csv")
        assert every == {row["Class"] for row in rows} - {"Macro average"}
    (page,) = [table for table in sections[0].tables if table.on_page]
    worst = read(tmp_path / "tables" / "lead_masking_by_class.csv")
    for without, _, most, lost in page.rows:
        of = {r["Class"]: float(r["AUROC lost"]) for r in worst if r["Without"] == without}
        del of["Macro average"]
        assert most == max(of, key=lambda one: of[one])
        assert isinstance(lost, tuple)
        assert lost[0] == pytest.approx(max(of.values()), abs=1e-5)


def need_of(leads: tuple[str, ...], labels: np.ndarray) -> tuple[ExperimentResults, LeadNeed]:
    """Measure noise with all sets of leads."""
    generator = np.random.default_rng(0)
    sets, found = lead_sets(leads), compared(labels)
    measured = measure_lead_need(
        {shown: generator.random(labels.shape) for shown in sets.distinct()},
        labels,
        found.task.evaluation.patients,
        classes=found.task.classes,
        generator=generator,
        resamples=10,
    )
    return found, LeadNeed(sets, measured)


def test_of_one_lead_it_is_not_told_what_is_lost_without_it(tmp_path: Path) -> None:
    found, need = need_of(("II",), members_of(2))
    sections = lead_sections(found, ("II",), need)
    write_sections(tmp_path, sections)
    assert [section.title for section in sections] == [
        "What one lead tells it",
        "What it can do with fewer leads",
    ]
    summary = lead_need_summary(need)
    assert summary["lead_masking"] == {}
    assert set(summary["lead_alone"]) == set(summary["fewer_leads"]) == {"II"}


def test_limb_algebra_is_told_where_a_lead_follows_from_others() -> None:
    labels = members_of(2)
    told, fewer = [], []
    for leads in (LEADS, ("I", "II", "V1", "V2", "V3")):
        found, need = need_of(leads, labels)
        losses, _, curve = lead_sections(found, leads, need)
        told.append(" ".join(losses.text))
        fewer.append(" ".join(curve.text))
    assert "are computed for a recording that has two" in fewer[0]
    assert "are computed" not in fewer[1]
    assert "Any two limb leads give the other four" in told[0]
    assert "lateral is I, aVL, V5, V6" in told[0]
    assert "None of its leads follows from the others" in told[1]
