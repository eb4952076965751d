import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from finetune.data.hold_out import draw_hold_out
from finetune.data.settings import HOLD_OUT
from finetune.training import logistic_regression
from finetune.training.linear_probe import LinearProbe, fit_linear_probe
from lamae.errors import InputError
from lamae.statistics.metrics import class_scores

CLASSES = ["NORM", "MI", "HYP"]
RECORDS = 240
PATIENTS = [f"p{number // 2}" for number in range(RECORDS)]


def _features(width: int = 8) -> np.ndarray:
    generator = np.random.default_rng(0)
    scale = 10.0 ** generator.integers(-2, 3, width)
    return generator.normal(size=(RECORDS, width)) * scale + 5 * scale


def _labels(features: np.ndarray, *, multi_label: bool) -> np.ndarray:
    standard = StandardScaler().fit_transform(features)[:, : len(CLASSES)]
    evidence = standard + np.random.default_rng(1).normal(size=standard.shape)
    if multi_label:
        return evidence > 0.8
    return np.eye(len(CLASSES), dtype=bool)[evidence.argmax(axis=1)]


def _fit(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    multi_label: bool = True,
    l2_grid: tuple[float, ...] = (1.0, 0.1, 0.01),
    seed: int = 0,
) -> LinearProbe:
    return fit_linear_probe(
        features,
        labels,
        PATIENTS[: len(labels)],
        classes=CLASSES[: labels.shape[1]],
        multi_label=multi_label,
        generator=np.random.default_rng(seed),
        l2_grid=l2_grid,
    )


@pytest.mark.parametrize("l2", [0.3, 0.003])
def test_each_class_of_a_multi_label_probe_is_a_logistic_regression(l2: float) -> None:
    features = _features()
    labels = _labels(features, multi_label=True)
    probe = _fit(features, labels, l2_grid=(l2,))
    standard = StandardScaler().fit_transform(features)
    for number in range(len(CLASSES)):
        oracle = LogisticRegression(C=1 / (l2 * RECORDS), tol=1e-8, max_iter=1000)
        oracle.fit(standard, labels[:, number])
        np.testing.assert_allclose(probe.weight[number], oracle.coef_[0], atol=1e-3)
        np.testing.assert_allclose(probe.bias[number], oracle.intercept_[0], atol=1e-3)
        expected = oracle.predict_proba(standard)[:, 1]
        np.testing.assert_allclose(probe.scores(features)[:, number], expected, atol=1e-4)


@pytest.mark.parametrize("l2", [0.3, 0.003])
def test_a_multi_class_probe_is_a_multinomial_logistic_regression(l2: float) -> None:
    features = _features()
    labels = _labels(features, multi_label=False)
    probe = _fit(features, labels, multi_label=False, l2_grid=(l2,))
    standard = StandardScaler().fit_transform(features)
    oracle = LogisticRegression(C=1 / (l2 * RECORDS), tol=1e-8, max_iter=1000)
    oracle.fit(standard, labels.argmax(axis=1))
    np.testing.assert_allclose(probe.weight, oracle.coef_, atol=1e-3)
    np.testing.assert_allclose(probe.scores(features), oracle.predict_proba(standard), atol=1e-4)


def test_the_penalty_is_the_one_that_ranks_held_out_patients_best() -> None:
    features = _features(width=60)
    labels = _labels(features, multi_label=True)
    probe = _fit(features, labels, l2_grid=(1e-4, 1.0, 1e-2))
    assert list(probe.hold_out_auroc) == [1.0, 1e-2, 1e-4]
    assert probe.hold_out_auroc[probe.l2] == max(probe.hold_out_auroc.values())
    assert probe.l2 > 1e-4  # 60 features of 240 records, of which 3 count


def test_every_inner_fold_is_held_out_and_shown_by_the_fit_to_the_others() -> None:
    features = _features()
    labels = _labels(features, multi_label=True)
    fold = np.arange(RECORDS) // 2 % 4
    probe = fit_linear_probe(
        features,
        labels,
        PATIENTS,
        classes=CLASSES,
        multi_label=True,
        generator=np.random.default_rng(0),
        l2_grid=(0.1, 0.01),
        hold_outs=[fold == number for number in (2, 0, 1)],
    )
    assert probe.held_out is not None
    np.testing.assert_array_equal(probe.held_out.records, fold != 3)
    standard = StandardScaler().fit_transform(features)
    expected = np.full(labels.shape, np.nan)
    for number in range(3):
        own = fold == number
        for column in range(len(CLASSES)):
            oracle = LogisticRegression(C=1 / (probe.l2 * (~own).sum()), tol=1e-8, max_iter=1000)
            oracle.fit(standard[~own], labels[~own, column])
            expected[own, column] = oracle.predict_proba(standard[own])[:, 1]
    np.testing.assert_allclose(probe.held_out.probabilities, expected[fold != 3], atol=1e-3)


def test_the_warm_start_ends_where_a_cold_start_does() -> None:
    features = _features()
    labels = _labels(features, multi_label=True)
    chosen = _fit(features, labels)
    cold = _fit(features, labels, l2_grid=(chosen.l2,))
    np.testing.assert_allclose(chosen.weight, cold.weight, atol=2e-3)
    assert cold.hold_out_auroc == {}
    assert max(chosen.gradient, cold.gradient) <= 1e-5


def test_a_fit_that_was_cut_short_has_not_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    features = _features()
    labels = _labels(features, multi_label=True)
    assert _fit(features, labels, l2_grid=(0.01,)).converged
    monkeypatch.setattr(logistic_regression, "_MOST_ITERATIONS", 2)
    assert not _fit(features, labels, l2_grid=(0.01,)).converged


def test_the_same_generator_gives_the_same_probe_bit_by_bit() -> None:
    features = _features()
    labels = _labels(features, multi_label=True)
    first, second = (_fit(features, labels, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.weight, second.weight)
    np.testing.assert_array_equal(first.bias, second.bias)
    assert first.hold_out_auroc == second.hold_out_auroc


def test_the_unit_and_offset_of_features_change_nothing() -> None:
    features = _features()
    labels = _labels(features, multi_label=True)
    other = features * 1000 - 7
    expected = _fit(features, labels).scores(features)
    np.testing.assert_allclose(_fit(other, labels).scores(other), expected, atol=1e-4)


def test_a_constant_feature_counts_for_nothing() -> None:
    features = _features().astype(np.float32)
    labels = _labels(features, multi_label=True)
    with_constant = np.hstack([features, np.full((RECORDS, 1), 0.1, dtype=np.float32)])
    probe = _fit(with_constant, labels)
    np.testing.assert_allclose(probe.weight[:, -1], 0, atol=1e-6)
    np.testing.assert_allclose(
        probe.scores(with_constant), _fit(features, labels).scores(features), atol=1e-4
    )


def test_the_probe_ranks_records_it_has_not_seen() -> None:
    features = _features()
    labels = _labels(features, multi_label=True)
    probe = _fit(features[:160], labels[:160])
    assert class_scores(labels[160:], probe.scores(features[160:])).auroc.min() > 0.75


def test_whole_patients_of_every_class_are_held_out() -> None:
    generator = np.random.default_rng(0)
    labels = _labels(_features(), multi_label=False)
    shares = []
    for _ in range(20):
        held_out = draw_hold_out(labels, PATIENTS, generator=generator)
        sides = held_out.reshape(-1, 2)  # two records of each patient
        assert (sides[:, 0] == sides[:, 1]).all()
        assert labels[held_out].any(axis=0).all() and labels[~held_out].any(axis=0).all()
        shares.append(sides[:, 0].mean())
    np.testing.assert_allclose(shares, HOLD_OUT, atol=1 / len(sides))


@pytest.mark.parametrize(("value", "wanted"), [(False, "positive"), (True, "negative")])
def test_a_class_that_cannot_be_learnt_is_named(value: bool, wanted: str) -> None:
    features = _features()
    labels = _labels(features, multi_label=True)
    labels[:, 1] = value
    with pytest.raises(InputError, match=f"class MI: no {wanted} record"):
        _fit(features, labels)


def test_a_single_class_is_refused() -> None:
    with pytest.raises(InputError, match="class NORM: no negative record"):
        _fit(_features(), np.ones((RECORDS, 1), dtype=bool), multi_label=False)


def test_features_that_are_not_finite_are_refused_in_fit_and_scores() -> None:
    features = _features()
    labels = _labels(features, multi_label=True)
    broken = features.copy()
    broken[7, 2] = np.nan
    with pytest.raises(InputError, match="1 records, first 7"):
        _fit(broken, labels)
    probe = _fit(features, labels, l2_grid=(1.0,))
    with pytest.raises(InputError, match="1 records, first 7"):
        probe.scores(broken)
    with pytest.raises(InputError, match="width 5"):
        probe.scores(features[:, :5])


def test_labels_that_do_not_fit_the_task_are_refused() -> None:
    features = _features()
    labels = _labels(features, multi_label=False)
    labels[11] = True
    with pytest.raises(InputError, match="3 classes in record 11"):
        _fit(features, labels, multi_label=False)


@pytest.mark.parametrize("l2_grid", [(), (0.0, 1.0), (np.inf,)])
def test_penalties_that_are_not_positive_are_refused(l2_grid: tuple[float, ...]) -> None:
    features = _features()
    with pytest.raises(InputError, match="l2_grid"):
        _fit(features, _labels(features, multi_label=True), l2_grid=l2_grid)


def test_too_few_patients_to_hold_some_out_are_refused_with_the_remedy() -> None:
    features = _features()[:4]
    labels = np.array([[True, False], [True, False], [False, True], [False, True]])
    with pytest.raises(InputError, match="single strength"):
        _fit(features, labels)
    assert _fit(features, labels, l2_grid=(1.0,)).scores(features)[0, 0] > 0.5
