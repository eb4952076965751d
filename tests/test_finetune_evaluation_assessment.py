"""Measures of a run: at thresholds of held-out patients, whatever the evaluation labels say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from finetune.data.hold_out import HeldOut
from finetune.data.tasks import LabelledRows, Task
from finetune.evaluation.assessment import assess, challenge_weights, merge_measures
from finetune.experiment.train_and_score import CandidateResult, ExperimentResults
from finetune.settings import FinetuneSettings
from lamae.errors import InputError
from lamae.statistics.challenge_metric import SINUS_RHYTHM, challenge_score, scored_decisions
from lamae.statistics.thresholds import choose_thresholds

CLASSES = ("164889003", SINUS_RHYTHM, "270492004|999")
TABLE = (
    f",164889003,{SINUS_RHYTHM},270492004\n164889003,1,0.3,0.5\n{SINUS_RHYTHM},0.3,1,0.4\n"
    "270492004,0.5,0.4,1\n"
)


def settings_of(**changes: Any) -> FinetuneSettings:
    given = {"data": "shards", "mode": "lasan", "resamples": 40, **changes}
    return FinetuneSettings.model_validate(given)


def part(first: int, generator: np.random.Generator) -> LabelledRows:
    """Return 150 recordings of 75 patients."""
    labels = generator.random((150, 3)) < (0.4, 0.5, 0.2)
    patients = [f"p{first + number // 2}" for number in range(150)]
    return LabelledRows(np.arange(150), labels, patients, unlabelled=0, without_class=0)


def shown(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return 0.35 * labels + 0.6 * generator.random(labels.shape)


def compared(seed: int) -> ExperimentResults:
    """Return two classifiers; half of the training recordings are held out."""
    generator = np.random.default_rng(seed)
    task = Task(CLASSES, part(0, generator), part(1000, generator))
    held_out = np.arange(150) < 76
    by_candidate = {
        name: CandidateResult(
            shown(task.evaluation.labels, generator),
            np.full(3, 0.5),
            {},
            held_out=HeldOut(held_out, shown(task.train.labels[held_out], generator)),
        )
        for name in ("lasan", "supervised")
    }
    return ExperimentResults(by_candidate, task, {"train": {}, "evaluation": {}})


def write_table(path: Path, text: str = TABLE) -> Path:
    path.write_text(text)
    return path


def test_the_summary_holds_what_thresholds_of_the_held_out_patients_achieve() -> None:
    found = compared(0)
    summary = assess(found, settings_of()).summary
    held_out = found.by_candidate["lasan"].held_out
    assert held_out is not None
    truth = found.task.train.labels[held_out.records]
    patients = np.array(found.task.train.patients)[held_out.records].tolist()
    cuts = choose_thresholds(truth, held_out.probabilities, patients, classes=CLASSES).values
    labels, scores = found.task.evaluation.labels, found.by_candidate["lasan"].probabilities
    for column, name in enumerate(CLASSES):
        own = summary["per_class"][name]
        called = scores[:, column] >= cuts[column]
        assert own["threshold"] == cuts[column]
        assert own["f1"]["estimate"] == pytest.approx(f1_score(labels[:, column], called))
        assert own["true_positive"] == (labels[:, column] & called).sum()
        fixed = scores[:, column] >= own["threshold_at_90_specificity"]
        expected = recall_score(labels[:, column], fixed)
        assert own["sensitivity_at_90"]["estimate"] == pytest.approx(expected)
    assert "challenge_score" not in summary


def test_the_evaluation_labels_choose_no_threshold(tmp_path: Path) -> None:
    settings = settings_of(challenge_weights=write_table(tmp_path / "weights.csv"))
    challenge = challenge_weights(settings, CLASSES)
    found = compared(1)
    part = found.task.evaluation
    turned = found.task._replace(evaluation=part._replace(labels=part.labels[::-1].copy()))
    one, two = (
        assess(found._replace(task=task), settings, challenge) for task in (found.task, turned)
    )
    for name in found.by_candidate:
        for own, other in zip(
            one.predictions[name].decisions, two.predictions[name].decisions, strict=True
        ):
            np.testing.assert_array_equal(own, other)
    assert one.summary["f1_macro"] != two.summary["f1_macro"]


def test_the_challenge_score_is_of_the_decisions_at_one_threshold(tmp_path: Path) -> None:
    settings = settings_of(challenge_weights=write_table(tmp_path / "weights.csv"))
    weights = challenge_weights(settings, CLASSES)
    assert weights is not None
    found = compared(2)
    summary = assess(found, settings, weights).summary
    scores, truth = found.by_candidate["lasan"].probabilities, found.task.evaluation.labels
    reached = [
        challenge_score(truth, scored_decisions(scores >= cut, CLASSES, weights), weights)
        for cut in np.linspace(0.01, 0.99, 99)
    ]
    assert min(np.abs(np.array(reached) - summary["challenge_score"]["estimate"])) < 1e-12
    assert {"challenge_score_supervised", "challenge_score_supervised_difference"} <= set(summary)


def test_where_each_has_one_class_the_likeliest_is_called() -> None:
    found = compared(3)
    labels = np.eye(3, dtype=bool)[np.random.default_rng(0).integers(0, 3, 150)]
    task = found.task._replace(evaluation=found.task.evaluation._replace(labels=labels))
    assessed = assess(found._replace(task=task), settings_of(multi_label=False))
    likeliest = found.by_candidate["lasan"].probabilities.argmax(axis=1)
    expected = f1_score(labels.argmax(axis=1), likeliest, average="macro")
    assert assessed.summary["f1_macro"]["estimate"] == pytest.approx(expected)
    assert "threshold" not in assessed.summary["per_class"][CLASSES[0]]


@pytest.mark.parametrize(
    ("text", "classes", "told"),
    [
        ("a,b\n1,2\n", CLASSES, "square table"),
        (TABLE, ("AF", "LBBB"), "none of the classes AF, LBBB"),
        (TABLE.replace(SINUS_RHYTHM, "1"), CLASSES, f"no class {SINUS_RHYTHM}"),
    ],
)
def test_a_table_that_cannot_score_the_classes_is_refused_before_training(
    text: str, classes: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    settings = settings_of(challenge_weights=write_table(tmp_path / "weights.csv", text))
    with pytest.raises(InputError, match=told):
        challenge_weights(settings, classes)


def test_merged_measures_keep_every_part_of_each_class() -> None:
    one = {"a": 1, "per_class": {"MI": {"x": 1}, "CD": {"x": 2}}}
    two = {"b": 2, "per_class": {"MI": {"y": 3}, "CD": {}}}
    assert merge_measures(one, two) == {
        "a": 1,
        "b": 2,
        "per_class": {"MI": {"x": 1, "y": 3}, "CD": {"x": 2}},
    }
