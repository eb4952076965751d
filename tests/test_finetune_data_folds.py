"""Shares of patients, folds, and measures of what is scored out of fold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from finetune.cross_validation.nested import FoldScores, cross_validate
from finetune.cross_validation.out_of_fold import fold_scores
from finetune.data.folds import check_folds, patient_folds
from finetune.data.label_fractions import patient_share
from finetune.data.tasks import Cohort, LabelledRows, Task
from finetune.evaluation.operating_points import Decisions
from lamae.errors import InputError


def draw(seed: int, *, patients: int = 60, classes: int = 3) -> tuple[np.ndarray, list[str]]:
    """Return labels and patients of two recordings each; the last class is rare."""
    generator = np.random.default_rng(seed)
    labels = generator.random((2 * patients, classes)) < 0.3
    labels[:, -1] = False
    labels[generator.choice(2 * patients, 4, replace=False), -1] = True
    return labels, [f"p{number // 2}" for number in range(2 * patients)]


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_a_smaller_share_is_part_of_a_larger_one(seed: int, one: float, two: float) -> None:
    labels, patients = draw(seed)
    small, large = (
        patient_share(labels, patients, share=share, seed=seed) for share in sorted([one, two])
    )
    assert not (small & ~large).any()
    for kept, share in ((small, min(one, two)), (large, max(one, two))):
        chosen = {name for name, keep in zip(patients, kept, strict=True) if keep}
        assert len(chosen) == max(1, round(share * 60))
        assert [name in chosen for name in patients] == kept.tolist(), "whole patients"


@pytest.mark.parametrize("seed", range(10))
def test_a_share_of_a_few_patients_has_every_class(seed: int) -> None:
    labels, patients = draw(seed)
    kept = patient_share(labels, patients, share=0.05, seed=seed)  # three patients, three classes
    assert labels[kept].any(axis=0).all()


def test_another_seed_gives_other_patients() -> None:
    labels, patients = draw(0)
    one, two = (patient_share(labels, patients, share=0.5, seed=seed) for seed in (0, 1))
    assert (one != two).any()


def test_folds_hold_whole_patients_and_their_share_of_a_rare_class() -> None:
    generator = np.random.default_rng(0)
    patients = [f"p{number // 3}" for number in range(300)]
    rare = np.repeat(generator.permutation(100) < 10, 3)
    labels = np.stack([rare, generator.random(300) < 0.5], axis=1)
    fold = patient_folds(labels, patients, folds=5, generator=generator)
    assert (fold.reshape(-1, 3) == fold[::3, None]).all()
    assert np.bincount(fold).tolist() == [60] * 5
    assert np.bincount(fold[rare]).tolist() == [6] * 5
    with pytest.raises(InputError, match="folds: 101 for 100 patients"):
        patient_folds(labels, patients, folds=101, generator=generator)


def test_a_class_of_one_patient_cannot_be_cross_validated() -> None:
    labels = np.zeros((6, 1), dtype=bool)
    labels[0] = True
    with pytest.raises(InputError, match="classes MI: recordings of too few patients"):
        check_folds(labels, np.array([0, 0, 1, 1, 2, 2]), ["MI"])


def test_only_pairs_of_one_fold_are_compared() -> None:
    """Each fold has its own scale: the pooled AUROC suffers, that over pairs of a fold does not."""
    generator = np.random.default_rng(3)
    labels = generator.random((400, 1)) < 0.4
    fold = generator.integers(0, 5, 400)
    signal = labels[:, 0] + generator.normal(size=400)
    scores = (signal + 100 * fold)[:, None]
    patients = [str(number) for number in range(400)]
    measured = fold_scores(
        labels,
        {"own": scores[None], "opposite": -scores[None]},
        fold[None],
        patients,
        classes=["MI"],
        generator=generator,
        resamples=50,
    )
    pairs = [labels[fold == f].sum() * (~labels[fold == f]).sum() for f in range(5)]
    each = [roc_auc_score(labels[fold == f, 0], signal[fold == f]) for f in range(5)]
    expected = np.average(each, weights=pairs)
    own = measured.models["own"]
    assert own.auroc["MI"].estimate == pytest.approx(expected)
    assert own.auroc_macro.low < expected < own.auroc_macro.high
    assert measured.models["opposite"].auroc["MI"].estimate == pytest.approx(1 - expected)
    assert measured.differences["opposite"].auroc_macro.estimate == pytest.approx(2 * expected - 1)
    assert abs(roc_auc_score(labels[:, 0], scores[:, 0]) - 0.5) < 0.1 < expected - 0.5


def test_each_recording_is_scored_by_who_has_not_seen_its_patient() -> None:
    labels, patients = draw(1)
    part = LabelledRows(np.arange(120), labels, patients, unlabelled=0, without_class=0)

    def fit_and_score(task: Task, number: int) -> dict[str, FoldScores]:
        assert not set(task.train.patients) & set(task.evaluation.patients)
        assert len(task.train.rows) + len(task.evaluation.rows) == 120
        scores = np.full(task.evaluation.labels.shape, float(number))
        has_threshold = np.array([True, number != 2, False])
        called = Decisions(scores > 4, scores > 5, scores > 6, has_threshold, np.array(number != 5))
        return {"own": FoldScores(scores, called)}

    found = cross_validate(Cohort(("a", "b", "c"), part), fit_and_score, folds=4, repeats=2, seed=0)
    expected = found.fold + 4 * np.arange(2)[:, None]
    assert (found.scores["own"] == expected[:, :, None]).all()
    f1, specific, _, has_threshold, challenge_decided = found.decisions["own"]
    assert (f1 == (expected > 4)[:, :, None]).all()
    assert (specific == (expected > 5)[:, :, None]).all()
    # The second class lacks a threshold in fold 2 of the first repeat alone, which is enough.
    assert has_threshold.tolist() == [[True, False, False], [True, True, False]]
    assert challenge_decided.tolist() == [True, False], "one fold of the second decides nothing"
    assert (found.fold[0] != found.fold[1]).any(), "repeats deal the patients out anew"
