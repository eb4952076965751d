"""Sections of a report about scores: curves, decisions, calibration, confusion, leakage."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from finetune.evaluation.challenge_measures import CHALLENGE
from finetune.evaluation.decision_measures import AT_F1, AT_SPECIFICITY, CALIBRATION
from finetune.evaluation.probability_measures import LINE
from finetune.evaluation.proportion_measures import PREDICTIVE
from finetune.reports.page import by_frequency, capitalised, interval_of, intervals_by_column
from finetune.reports.score_figures import (
    MOST_PANELS,
    confusion_figure,
    curve_counts,
    gathered,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
)
from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section
from lamae.statistics.calibration import bins_for, reliability
from lamae.statistics.metrics import defined_classes

_SPLIT = ("true_positive", "false_positive", "false_negative", "true_negative")
_OF_DECISIONS = {
    **{key: AT_F1[key] for key in ("sensitivity", "specificity")},
    **PREDICTIVE,
    "f1": AT_F1["f1"],
}
_MARKS = (
    " Dots are where the decisions of the first classifier lie: filled as it calls, hollow at the "
    "threshold of 90 % specificity on the held-out patients."
)
_MOST_POINTS = 200
"""Of a curve in its table."""

Scores = Mapping[str, Float[np.ndarray, "records classes"]]
"""Of each classifier, the one in question first."""


def curve_section(
    labels: Bool[np.ndarray, "records classes"],
    scores: Scores,
    classes: Sequence[str],
    called: Bool[np.ndarray, "points records classes"] | None = None,
) -> Section:
    """Draw ROC and precision-recall curves, and tabulate them for all classes.

    `called` are the decisions of the first classifier at the threshold of highest F1 and at that of
    a fixed specificity.
    """
    drawn, caption = _most_frequent(labels, classes)
    marks = "" if called is None else _MARKS
    figures = [
        NamedFigure(
            "roc", roc_figure(labels, scores, drawn, called), f"ROC curves.{marks} {caption}"
        ),
        NamedFigure(
            "precision_recall",
            precision_recall_figure(labels, scores, drawn, called),
            f"Precision and recall; the line is the share of positive recordings.{marks} {caption}",
        ),
    ]
    rows: list[Sequence[Cell]] = []
    for name, column in _told_apart(labels, classes).items():
        for model, values in scores.items():
            false, true, threshold = curve_counts(labels[:, column], values[:, column])
            shown = np.unique(np.linspace(0, len(true) - 1, _MOST_POINTS).round().astype(int))
            for i in shown:
                positive = int(false[i] + true[i])
                precision = float(true[i] / positive) if positive else math.nan
                cut = float(threshold[i]) if np.isfinite(threshold[i]) else math.nan
                rates = float(true[i] / true[-1]), float(1 - false[i] / false[-1])
                rows.append((name, model, cut, *rates, precision))
    columns = ["class", "classifier", "threshold", "sensitivity", "specificity", "precision"]
    table = NamedTable("curves", "Points of the curves", columns, rows, on_page=False)
    return Section("ROC and precision-recall curves", [], figures, [table])


def calibration_section(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Scores,
    classes: Sequence[str],
    summary: Mapping[str, Any],
) -> Section:
    """Draw reliability diagrams, and tabulate calibration errors and Brier scores."""
    drawn, caption = _most_frequent(labels, classes)
    picture = reliability_figure(labels, probabilities, drawn)
    figure = NamedFigure(
        "reliability",
        picture,
        f"Reliability in bins of equal numbers of recordings; the line is perfect. {caption}",
    )
    points: list[Sequence[Cell]] = [
        (name, model, float(probability), float(share), int(records))
        for name, column in _told_apart(labels, classes).items()
        for model, values in probabilities.items()
        for probability, share, records in zip(
            *reliability(labels[:, column], values[:, column], bins=bins_for(labels[:, column])),
            strict=True,
        )
    ]
    columns = ["class", "classifier", "mean_probability", "share_positive", "recordings"]
    file = NamedTable("reliability", "Points of reliability", columns, points, on_page=False)
    text = [
        "Less is better. The calibration error is biased upwards by chance, the more the fewer "
        "recordings: compare it on the same recordings only. A class has one bin for ten positive "
        "and ten negative recordings, from two to ten.",
        "The intercept is above 0 where probabilities are too low on the whole, the slope below 1 "
        "where they are too extreme; both by logistic regression, with intervals by patient. A "
        "class that is told apart without error has none.",
    ]
    tables = [
        _means_table("calibration_means", summary, CALIBRATION),
        _class_table("calibration", "Calibration", summary, {**CALIBRATION, **LINE}),
        file,
    ]
    return Section("Calibration", text, [figure], tables)


def decision_section(summary: Mapping[str, Any], *, multi_label: bool) -> Section:
    """Tabulate what decisions achieve, and at which thresholds, from the summary."""
    text = [
        "Thresholds were chosen on held-out patients of the training split, never on what is "
        "evaluated here: one for each class with the highest F1, and one with a specificity of "
        "90 % there, which is not exactly reached here."
    ]
    text.append(
        "Intervals of sensitivity, specificity and predictive values by class are exact (Clopper "
        "and Pearson) for as many patients as are independent, the others by resampling patients. "
        "PPV and NPV hold where classes are as frequent as here."
    )
    if not multi_label:
        text.append(
            "Each recording has one class, and the likeliest is called; thresholds are for the "
            "fixed specificity alone."
        )
    means = "equivalent classes are not merged."
    if CHALLENGE in summary:
        means = "their means are over the classes that it scores, equivalent ones merged."
    text.append(
        "F2 and G2 have a beta of 2, and share a recording between its labels as in the Challenge "
        f"of 2020; {means}"
    )
    if summary["classes_without_threshold"]:
        lacking = ", ".join(summary["classes_without_threshold"])
        text.append(f"Without a threshold, and in no mean at one, for want of patients: {lacking}.")
    names = {**AT_F1, **AT_SPECIFICITY}
    if CHALLENGE in summary:
        text.append(
            "The Challenge score is at one threshold for all classes, chosen on the held-out "
            "patients as well."
        )
    at_f1 = "At the thresholds of highest F1" if multi_label else "Of the likeliest class"
    tables = [
        _means_table("decision_means", summary, names),
        _class_table("decisions", at_f1, summary, _OF_DECISIONS),
        _class_table("f2_g2", f"{at_f1}, beta 2", summary, {k: AT_F1[k] for k in ("f2", "g2")}),
        _class_table("at_90_specificity", "At 90 % specificity", summary, AT_SPECIFICITY),
        _counts_table(summary, multi_label=multi_label),
    ]
    return Section("Decisions", text, tables=[table for table in tables if table.rows])


def confusion_section(
    labels: Bool[np.ndarray, "records classes"],
    called: Bool[np.ndarray, "records classes"],
    classes: Sequence[str],
) -> Section:
    """Draw the confusion matrix of recordings with exactly one class, true and called."""
    counts = labels.T.astype(np.int64) @ called.astype(np.int64)
    shown, names = gathered(counts, classes)
    caption = "Recordings by true and by called class."
    if len(names) < len(classes):
        caption += f" The {len(names) - 1} most frequent of {len(classes)} classes, and the others."
    rows: list[Sequence[Cell]] = [
        [name, *row.tolist()] for name, row in zip(classes, counts, strict=True)
    ]
    table = NamedTable("confusion", "Confusion matrix", ["true", *classes], rows, on_page=False)
    figure = NamedFigure("confusion", confusion_figure(shown, names), caption)
    return Section("Confusion", [], [figure], [table])


def audit_section(audit: Mapping[str, Any]) -> Section:
    """Tabulate what the evaluation recordings share with those that were seen before."""
    rows: list[Sequence[Cell]] = []
    for stage in ("training", "pretraining"):
        shared = audit.get(stage, {})
        if "recordings" in shared:
            patients = shared["patients"]
            known = "not compared" if patients is None else patients
            rows.append((stage, known, shared["recordings"], shared["example"] or None))
        elif shared:
            rows.append((stage, "not audited", "not audited", None))
    columns = ["Seen in", "Patients", "Recordings", "Example"]
    caption = "What the evaluation recordings share with others"
    tables = [NamedTable("leakage", caption, columns, rows)] if rows else []
    allowed = audit["allowed"]
    text = [f"Allowed by name: {', '.join(allowed)}."] if allowed else []
    return Section("Leakage audit", text, tables=tables)


def _means_table(name: str, summary: Mapping[str, Any], measures: Mapping[str, str]) -> NamedTable:
    keys = {f"{key}_macro": measure for key, measure in measures.items()}
    if CHALLENGE in summary and "f1" in measures:
        keys[CHALLENGE] = "Challenge score"
    found = {m: intervals_by_column(summary, key) for key, m in keys.items() if key in summary}
    known = [
        column
        for column in next(iter(found.values()), {})
        if any(not math.isnan(values[column].estimate) for values in found.values())
    ]
    rows: list[Sequence[Cell]] = [
        [measure, *(values[column] for column in known)] for measure, values in found.items()
    ]
    columns = ["Measure", *map(capitalised, known)]
    return NamedTable(name, "Means over classes", columns, rows)


def _class_table(
    name: str, caption: str, summary: Mapping[str, Any], measures: Mapping[str, str]
) -> NamedTable:
    """Tabulate measures of the classifier in question; those it lacks for all are left out."""
    classes = summary["per_class"]
    known = [key for key in measures if any(key in found for found in classes.values())]
    rows = [
        (n, classes[n]["positives"], *(interval_of(classes[n].get(key)) for key in known))
        for n in by_frequency(summary)
        if known
    ]
    columns = ["Class", "Positives", *(measures[key] for key in known)]
    return NamedTable(name, f"{caption}, by class", columns, rows)


def _counts_table(summary: Mapping[str, Any], *, multi_label: bool) -> NamedTable:
    classes = summary["per_class"]
    keys = ["threshold"] if multi_label else []
    keys = [*keys, "threshold_at_90_specificity"]
    keys = [key for key in keys if any(key in found for found in classes.values())]
    names = {"threshold": "Threshold", "threshold_at_90_specificity": "Threshold at 90 %"}
    rows = [
        (n, *(_threshold(classes[n].get(key)) for key in keys), *(classes[n][c] for c in _SPLIT))
        for n in by_frequency(summary)
    ]
    columns = ["Class", *(names[key] for key in keys)]
    columns += ["True positives", "False positives", "False negatives", "True negatives"]
    caption = "Thresholds (\u2013: never called), and recordings by decision and truth"
    return NamedTable("thresholds", caption, columns, rows)


def _threshold(value: float | None) -> float:
    return math.nan if value is None else value


def _told_apart(labels: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    """Return the column of each class with both sorts of records, the most frequent first."""
    order = np.argsort(-labels.sum(axis=0), kind="stable")
    defined = defined_classes(labels)
    return {classes[column]: int(column) for column in order if defined[column]}


def _most_frequent(labels: np.ndarray, classes: Sequence[str]) -> tuple[dict[str, int], str]:
    """Return the classes to draw, and a caption on the others."""
    known = _told_apart(labels, classes)
    drawn = dict(list(known.items())[:MOST_PANELS])
    if len(drawn) == len(known):
        return drawn, ""
    return drawn, f"The {len(drawn)} most frequent of {len(known)} classes; all are in the tables."
