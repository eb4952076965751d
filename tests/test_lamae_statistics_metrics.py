import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from sklearn.metrics import average_precision_score, roc_auc_score

from lamae.errors import InputError
from lamae.statistics.metrics import (
    auroc,
    average_precision,
    class_scores,
    defined_classes,
    left_out,
    macro,
    weighted_class_scores,
)

SCORES_WITH_TIES = st.sampled_from([-2.0, -0.5, 0.0, 1e-300, 0.25, 0.5, 3.0])
RECORDS = st.lists(
    st.tuples(st.booleans(), SCORES_WITH_TIES, st.integers(0, 3)), min_size=1, max_size=40
)


@given(RECORDS)
def test_weighted_scores_equal_those_of_scikit_learn_with_ties(
    records: list[tuple[bool, float, int]],
) -> None:
    positive, score, weight = (np.array(column) for column in zip(*records, strict=True))
    values = weighted_class_scores(positive[:, None], score[:, None], weight[None])
    if weight[positive].sum() == 0 or weight[~positive].sum() == 0:
        assert np.isnan(values.auroc).all() and np.isnan(values.average_precision).all()
        return
    expected_auroc = roc_auc_score(positive, score, sample_weight=weight)
    expected_precision = average_precision_score(positive, score, sample_weight=weight)
    assert values.auroc[0, 0] == pytest.approx(expected_auroc, abs=1e-12)
    assert values.average_precision[0, 0] == pytest.approx(expected_precision, abs=1e-12)


def test_a_weight_is_the_number_of_copies_of_a_record() -> None:
    generator = np.random.default_rng(0)
    labels, scores = generator.random((30, 4)) < 0.4, generator.integers(0, 9, (30, 4)) / 8
    weights = generator.integers(0, 4, (6, 30))
    weighted = weighted_class_scores(labels, scores, weights)
    for resample, weight in enumerate(weights):
        copies = np.repeat(np.arange(30), weight)
        once = class_scores(labels[copies], scores[copies])
        np.testing.assert_allclose(weighted.auroc[resample], once.auroc)
        np.testing.assert_allclose(weighted.average_precision[resample], once.average_precision)


def test_auroc_is_the_share_of_pairs_in_order_with_ties_counted_half() -> None:
    positive = np.array([True, True, False, False, False])
    score = np.array([0.9, 0.5, 0.5, 0.1, 0.7])
    assert auroc(positive, score) == pytest.approx((3 + 0.5 + 1) / 6)


def test_average_precision_of_a_hand_computed_ranking() -> None:
    positive = np.array([True, False, True, False])
    score = np.array([4.0, 3.0, 2.0, 1.0])
    assert average_precision(positive, score) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, np.int64])
def test_only_the_order_of_scores_counts_whatever_their_type(dtype: type) -> None:
    generator = np.random.default_rng(1)
    positive, score = generator.random(50) < 0.5, generator.integers(0, 200, 50)
    assert auroc(positive, score.astype(dtype)) == auroc(positive, np.exp(score / 50.0))


@pytest.mark.parametrize("same", [True, False])
def test_a_class_without_positives_or_negatives_has_no_value(same: bool) -> None:
    positive, score = np.full(4, same), np.arange(4.0)
    assert np.isnan(auroc(positive, score)) and np.isnan(average_precision(positive, score))


def test_macro_leaves_undefined_classes_out_and_they_are_named() -> None:
    labels = np.array([[True, False, True], [False, False, True], [True, False, False]])
    scores = np.array([[0.9, 0.1, 0.4], [0.2, 0.3, 0.6], [0.8, 0.2, 0.5]])
    values = class_scores(labels, scores)
    assert defined_classes(labels).tolist() == [True, False, True]
    assert left_out(labels, ["NORM", "MI", "HYP"]) == ["MI"]
    assert macro(values.auroc) == pytest.approx((1.0 + 0.5) / 2)


def test_macro_of_no_defined_class_is_undefined() -> None:
    means = macro(np.array([[np.nan, np.nan], [0.25, 0.75]]))
    assert np.isnan(means[0]) and means[1] == 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused_with_their_record(value: float) -> None:
    with pytest.raises(InputError, match="record 2"):
        auroc(np.array([True, False, True]), np.array([0.1, 0.2, value]))


@pytest.mark.parametrize("weight", [-1, 0.5])
def test_weights_that_count_nothing_are_refused(weight: float) -> None:
    labels, scores = np.array([[True], [False]]), np.array([[0.5], [0.1]])
    with pytest.raises(InputError, match="whole numbers"):
        weighted_class_scores(labels, scores, np.array([[1, weight]]))


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises((InputError, TypeCheckError)):
        auroc(np.array([True, False, True]), np.array([0.1, 0.2]))
