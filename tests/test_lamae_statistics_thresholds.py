import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, fbeta_score, jaccard_score

from lamae.errors import InputError
from lamae.statistics.thresholds import (
    Confusion,
    Thresholds,
    choose_common_threshold,
    choose_thresholds,
    confusion,
    decide,
    f_beta,
    g_beta,
    sensitivity,
    sensitivity_at,
    specificity,
    weighted_confusion,
)

VALIDATION = st.lists(
    st.tuples(st.booleans(), st.sampled_from([-2.0, 0.0, 1e-300, 0.25, 0.5, 3.0])),
    min_size=2,
    max_size=25,
).filter(lambda records: 0 < sum(positive for positive, _ in records) < len(records))


def _choose(labels: np.ndarray, scores: np.ndarray, **options: object) -> Thresholds:
    names = [f"v{number}" for number in range(len(labels))]
    classes = [f"class{number}" for number in range(labels.shape[1])]
    return choose_thresholds(labels, scores, names, classes=classes, **options)  # type: ignore[arg-type]


def _test_patients(number: int) -> list[str]:
    return [f"t{i}" for i in range(number)]


def test_measures_equal_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels, decisions = generator.random((60, 3)) < 0.3, generator.random((60, 3)) < 0.4
    counts = confusion(labels, decisions)
    for beta in (0.5, 1.0, 2.0):
        expected = fbeta_score(labels, decisions, beta=beta, average=None)
        np.testing.assert_allclose(f_beta(counts, beta=beta), expected)
    np.testing.assert_allclose(
        g_beta(counts, beta=1.0), jaccard_score(labels, decisions, average=None)
    )
    for number in range(3):
        (tn, fp), (fn, tp) = confusion_matrix(labels[:, number], decisions[:, number])
        assert [float(count[number]) for count in counts] == [tp, fp, fn, tn]
        assert specificity(counts)[number] == tn / (tn + fp)
        assert sensitivity(counts)[number] == tp / (tp + fn)


def test_f2_and_g2_of_a_hand_computed_confusion() -> None:
    counts = Confusion(*(np.array([number]) for number in (6.0, 3.0, 2.0, 9.0)))
    assert f_beta(counts, beta=2.0)[0] == pytest.approx(5 * 6 / (5 * 6 + 3 + 4 * 2))
    assert g_beta(counts, beta=2.0)[0] == pytest.approx(6 / (6 + 3 + 2 * 2))


def test_a_weight_is_the_number_of_copies_of_a_record() -> None:
    generator = np.random.default_rng(1)
    labels, decisions = generator.random((20, 4)) < 0.4, generator.random((20, 4)) < 0.4
    weights = generator.integers(0, 4, (5, 20))
    weighted = weighted_confusion(labels, decisions, weights)
    for resample, weight in enumerate(weights):
        copies = np.repeat(np.arange(20), weight)
        once = confusion(labels[copies], decisions[copies])
        for count, expected in zip(weighted, once, strict=True):
            np.testing.assert_array_equal(count[resample], expected)


def test_what_has_nothing_to_count_is_undefined() -> None:
    labels = np.array([[False, True], [False, True]])
    counts = confusion(labels, np.array([[True, False], [False, False]]))
    assert np.isnan(sensitivity(counts)).tolist() == [True, False]
    assert np.isnan(specificity(counts)).tolist() == [False, True]
    for measure in (f_beta, g_beta):
        assert np.isnan(measure(counts)[0]) and measure(counts)[1] == 0


@given(VALIDATION)
def test_no_other_threshold_has_a_higher_f1_on_validation(
    records: list[tuple[bool, float]],
) -> None:
    positive, score = (np.array(column)[:, None] for column in zip(*records, strict=True))
    chosen = decide(score, _choose(positive, score), _test_patients(len(score)))
    best = float(f_beta(confusion(positive, chosen))[0])
    tried = [f_beta(confusion(positive, score >= t))[0] for t in [*score[:, 0], -9.0, 9.0]]
    assert best == pytest.approx(max(tried))


@given(VALIDATION, st.sampled_from([0.0, 0.5, 0.8, 0.9, 1.0]))
def test_no_threshold_of_the_asked_specificity_is_more_sensitive(
    records: list[tuple[bool, float]], lowest: float
) -> None:
    positive, score = (np.array(column)[:, None] for column in zip(*records, strict=True))
    thresholds = _choose(positive, score, criterion=sensitivity_at(lowest))
    counts = confusion(positive, decide(score, thresholds, _test_patients(len(score))))
    assert specificity(counts)[0] >= lowest
    negatives, positives = score[~positive], score[positive]
    for threshold in [*score[:, 0], 9.0]:
        if np.mean(negatives < threshold) >= lowest:
            assert np.mean(positives >= threshold) <= sensitivity(counts)[0]


def test_a_share_that_a_float_cannot_hold_counts_as_reached() -> None:
    positive = np.array([[False]] * 10 + [[True]])
    score = np.arange(11.0)[:, None]
    for allowed in range(10):
        thresholds = _choose(positive, score, criterion=sensitivity_at(1 - allowed / 10))
        assert thresholds.values[0] == 10
    score[-1] = 6.5  # three negative records are above
    assert _choose(positive, score, criterion=sensitivity_at(0.7)).values[0] == 6.5
    assert _choose(positive, score, criterion=sensitivity_at(0.71)).values[0] == np.inf


def test_a_class_without_positives_on_validation_is_named_and_never_called_positive() -> None:
    labels = np.array([[True, False, True], [False, False, True]])
    scores = np.array([[0.9, 0.2, 0.3], [0.1, 0.4, 0.6]])
    thresholds = _choose(labels, scores)
    assert thresholds.left_out == ("class1", "class2")
    assert np.isnan(thresholds.values).tolist() == [False, True, True]
    assert decide(np.full((1, 3), 9.0), thresholds, ["t"]).tolist() == [[True, False, False]]


def test_thresholds_are_refused_on_the_patients_they_were_chosen_on() -> None:
    labels, scores = np.array([[True], [False]]), np.array([[0.9], [0.1]])
    thresholds = _choose(labels, scores)
    with pytest.raises(InputError, match=r"1 of the patients.*v1.*validation split"):
        decide(scores, thresholds, ["t0", "v1"])
    with pytest.raises(InputError, match="2 patients"):
        decide(scores[:, [0, 0]], thresholds, ["t0", "t1"])


def test_thresholds_that_chase_noise_score_lower_on_other_patients() -> None:
    generator = np.random.default_rng(2)
    gains = []
    for _ in range(200):
        labels, scores = generator.random((2, 40, 1)) < 0.3, generator.normal(size=(2, 40, 1))
        labels[:, 0], labels[:, 1] = True, False
        thresholds = _choose(labels[0], scores[0])
        seen, unseen = (
            f_beta(confusion(truth, decide(score, thresholds, _test_patients(40))))[0]
            for truth, score in zip(labels, scores, strict=True)
        )
        gains.append(seen - unseen)
    assert np.mean(gains) > 0.05


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_record_that_set_a_threshold_reaches_it_whatever_the_type(dtype: type) -> None:
    labels = np.array([[True], [False]])
    scores: np.ndarray = np.array([[0.3], [0.1]]).astype(dtype)
    chosen = decide(scores, _choose(labels, scores), ["a", "b"])
    assert chosen.tolist() == labels.tolist()
    common = choose_common_threshold(
        labels,
        scores,
        ["v", "w"],
        classes=["class"],
        candidates=[0.2, 0.3],
        objective=lambda decisions: float(decisions.sum()),
    )
    assert common.values.tolist() == [0.2]


def test_a_common_threshold_is_the_first_best_of_the_candidates() -> None:
    labels = np.array([[True, False], [False, True], [False, False]])
    scores = np.array([[0.9, 0.3], [0.2, 0.5], [0.4, 0.1]])
    options = {"classes": ["MI", "AF"], "candidates": [0.0, 0.45, 0.5, 0.6]}
    common = choose_common_threshold(
        labels,
        scores,
        ["v0", "v1", "v2"],
        objective=lambda decisions: float((decisions == labels).mean()),
        **options,  # type: ignore[arg-type]
    )
    assert common.values.tolist() == [0.45, 0.45]
    assert common.patients == {"v0", "v1", "v2"}


def test_inputs_that_do_not_fit_together_are_refused() -> None:
    labels, scores = np.array([[True], [False]]), np.array([[0.9], [0.1]])
    with pytest.raises(InputError, match="1 patients"):
        choose_thresholds(labels, scores, ["a"], classes=["c"])
    with pytest.raises(InputError, match="2 classes"):
        choose_thresholds(labels, scores, ["a", "b"], classes=["c", "d"])
    with pytest.raises(InputError, match="record 1"):
        choose_thresholds(labels, np.array([[0.9], [np.nan]]), ["a", "b"], classes=["c"])
    with pytest.raises(InputError, match="candidates"):
        choose_common_threshold(
            labels, scores, ["a", "b"], classes=["c"], candidates=[], objective=lambda _: 0.0
        )
