"""Measures of decisions are those of scikit-learn, and their intervals hold them."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, fbeta_score, recall_score

from finetune.evaluation.challenge_measures import CHALLENGE
from finetune.evaluation.decision_measures import (
    AT_F1,
    AT_SPECIFICITY,
    CALIBRATION,
    ClassifierPredictions,
    Measured,
    measure_decisions,
    summarise_decisions,
)
from finetune.evaluation.operating_points import Decisions
from finetune.evaluation.proportion_measures import PREDICTIVE
from finetune.settings import FinetuneSettings
from lamae.statistics.challenge_metric import (
    SINUS_RHYTHM,
    ChallengeWeights,
    challenge_score,
    challenge_scores,
    scored_decisions,
)

CLASSES = ("MI", SINUS_RHYTHM, "rare")
RECORDS, RUNS = 240, 2
WEIGHTS = ChallengeWeights(tuple(frozenset([name]) for name in CLASSES), np.eye(3) + 0.2)


def predictions(
    labels: np.ndarray, seed: int, *, lacking: tuple[int, ...] = (), undecided: bool = False
) -> ClassifierPredictions:
    """Return two runs of a classifier that is right more often than not."""
    generator = np.random.default_rng(seed)
    probabilities = 0.4 * labels + 0.6 * generator.random((RUNS, RECORDS, 3))
    f1, specific, challenge = (probabilities >= cut for cut in (0.5, 0.6, 0.4))
    has_threshold = np.ones((RUNS, 3), dtype=bool)
    has_threshold[list(lacking), 2] = False
    challenge_decided = np.full(RUNS, not undecided)
    return ClassifierPredictions(
        probabilities, Decisions(f1, specific, challenge, has_threshold, challenge_decided)
    )


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(0).random((RECORDS, 3)) < (0.4, 0.3, 0.1)


def measured(
    labels: np.ndarray,
    models: dict[str, ClassifierPredictions],
    *,
    multi_label: bool = True,
    classes: tuple[str, ...] = CLASSES,
    challenge: ChallengeWeights | None = WEIGHTS,
) -> Measured:
    settings = FinetuneSettings.model_validate(
        {"data": "shards", "mode": "lasan", "resamples": 60, "multi_label": multi_label}
    )
    patients = [f"p{i // 2}" for i in range(RECORDS)]
    return measure_decisions(
        models, labels, patients, classes=classes, settings=settings, challenge=challenge
    )


@pytest.fixture(scope="module")
def found(labels: np.ndarray) -> Measured:
    return measured(labels, {"lasan": predictions(labels, 1), "supervised": predictions(labels, 2)})


def test_estimates_are_those_of_scikit_learn_meaned_over_runs(
    labels: np.ndarray, found: Measured
) -> None:
    own = predictions(labels, 1)
    f1, specific, challenge, *_ = own.decisions
    share = 1 / np.maximum(labels.sum(axis=1), 1)
    for column, name in enumerate(CLASSES):
        truth = labels[:, column]
        of_run = [
            {
                "sensitivity": recall_score(truth, f1[run, :, column]),
                "specificity": recall_score(~truth, ~f1[run, :, column]),
                "f1": f1_score(truth, f1[run, :, column]),
                "f2": fbeta_score(truth, f1[run, :, column], beta=2, sample_weight=share),
                "sensitivity_at_90": recall_score(truth, specific[run, :, column]),
                "specificity_at_90": recall_score(~truth, ~specific[run, :, column]),
                "brier": brier_score_loss(truth, own.probabilities[run, :, column]),
            }
            for run in range(RUNS)
        ]
        for key in of_run[0]:
            expected = np.mean([run[key] for run in of_run])
            assert found.models["lasan"][key, name].estimate == pytest.approx(expected), key
    official = [challenge_scores(labels, run, WEIGHTS) for run in f1]
    for key, means in (
        ("f1", [run.f_measure for run in official]),
        ("f2", [run.f_beta for run in official]),
        ("g2", [run.g_beta for run in official]),
        (CHALLENGE, [challenge_score(labels, run, WEIGHTS) for run in challenge]),
    ):
        assert found.models["lasan"][key, None].estimate == pytest.approx(np.mean(means)), key


def test_intervals_hold_their_estimates_and_differences_are_paired(found: Measured) -> None:
    own, other = found.models.values()
    resampled = 4 * (len(AT_F1) + len(AT_SPECIFICITY) + len(CALIBRATION)) + 1
    assert len(own) == resampled + 3 * len(PREDICTIVE)
    for key, interval in own.items():
        assert interval.low <= interval.estimate <= interval.high
        if key[0] in PREDICTIVE:  # of the recordings that each classifier calls: not paired
            continue
        difference = found.differences["supervised"][key]
        assert difference.estimate == pytest.approx(interval.estimate - other[key].estimate)
        assert difference.low <= difference.estimate <= difference.high
    mean = found.differences["supervised"]["f1", None]
    assert mean.low < mean.high


def test_counts_are_of_all_runs_and_add_up(labels: np.ndarray, found: Measured) -> None:
    assert (np.sum(found.counts, axis=0) == RUNS * RECORDS).all()
    positive = found.counts.true_positive + found.counts.false_negative
    np.testing.assert_array_equal(positive, RUNS * labels.sum(axis=0))


@pytest.mark.parametrize("lacking", [(0, 1), (1,)])
def test_a_class_without_a_threshold_in_a_run_of_one_classifier_is_in_no_mean_of_any(
    lacking: tuple[int, ...], labels: np.ndarray, found: Measured
) -> None:
    models = {
        "lasan": predictions(labels, 1),
        "supervised": predictions(labels, 2, lacking=lacking),
    }
    less = measured(labels, models)
    assert less.without_threshold == ("rare",)
    for model in models:
        assert ("f1", "rare") not in less.models[model]
        pair = [found.models[model]["f1", name].estimate for name in CLASSES[:2]]
        assert less.models[model]["f1", None].estimate == pytest.approx(np.mean(pair))
        assert ("brier", "rare") in less.models[model], "a probability needs no threshold"
    likeliest = measured(labels, models, multi_label=False)
    assert ("f1", "rare") in likeliest.models["lasan"], "nor does the likeliest class"
    assert ("sensitivity_at_90", "rare") not in likeliest.models["lasan"]


def test_where_nobody_is_held_out_there_is_no_challenge_score(
    labels: np.ndarray, found: Measured
) -> None:
    none, own = predictions(labels, 1, undecided=True), predictions(labels, 2)
    without = measured(labels, {"lasan": none, "supervised": own})
    assert all((CHALLENGE, None) not in part for part in without.models.values())
    baseline = measured(labels, {"lasan": predictions(labels, 1), "supervised": none})
    assert baseline.models["lasan"][CHALLENGE, None] == found.models["lasan"][CHALLENGE, None]
    assert (CHALLENGE, None) not in baseline.models["supervised"]
    assert (CHALLENGE, None) not in baseline.differences["supervised"]


EQUIVALENT = (frozenset(["59118001", "713427006"]), frozenset([SINUS_RHYTHM]), frozenset(["a"]))


def test_with_its_weights_f2_and_g2_are_those_of_the_challenge(labels: np.ndarray) -> None:
    """Two columns are one scored class, one is not scored, and the last is called in vain."""
    classes, weights = ("59118001", SINUS_RHYTHM, "713427006", "other", "a"), np.eye(3) + 0.2
    wide = np.hstack([labels, labels[:, ::-1][:, :1], np.zeros_like(labels[:, :1])])
    generator = np.random.default_rng(3)
    probabilities = 0.4 * wide + 0.6 * generator.random((RUNS, *wide.shape))
    called, every = probabilities >= 0.5, np.ones((RUNS, 5), dtype=bool)
    own = ClassifierPredictions(
        probabilities, Decisions(called, called, called, every, every[:, 0])
    )
    challenge = ChallengeWeights(EQUIVALENT, weights)
    found = measured(wide, {"lasan": own}, classes=classes, challenge=challenge).models["lasan"]
    truth = scored_decisions(wide, classes, challenge)
    official = [
        challenge_scores(truth, scored_decisions(run, classes, challenge), challenge)
        for run in called
    ]
    for key, values in (("f2", [o.f_beta for o in official]), ("g2", [o.g_beta for o in official])):
        assert found[key, None].estimate == pytest.approx(np.mean(values)), key
    plain = measured(wide, {"lasan": own}, classes=classes, challenge=None).models["lasan"]
    means = [plain["f2", name].estimate for name in classes if ("f2", name) in plain]
    assert plain["f2", None].estimate == pytest.approx(np.mean(means)), "equivalent not merged"
    assert plain["f2", SINUS_RHYTHM] == found["f2", SINUS_RHYTHM], "nor are classes themselves"


def test_the_summary_names_means_classes_baselines_and_differences(found: Measured) -> None:
    summary = summarise_decisions(found, CLASSES)
    interval = found.models["lasan"]["f1", None]
    assert summary["f1_macro"] == interval._asdict()
    assert summary["f1_macro_supervised"]["estimate"] == pytest.approx(
        summary["f1_macro"]["estimate"] - summary["f1_macro_supervised_difference"]["estimate"]
    )
    assert {"challenge_score", "challenge_score_supervised_difference"} <= summary.keys()
    assert summary["per_class"]["MI"]["brier"] == found.models["lasan"]["brier", "MI"]._asdict()
    assert summary["per_class"]["MI"]["true_positive"] == found.counts.true_positive[0]
    assert summary["classes_without_threshold"] == []
