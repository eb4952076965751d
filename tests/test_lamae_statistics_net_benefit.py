"""Decision curves are those of people who are counted one by one."""

import numpy as np
import pytest

from lamae.statistics.net_benefit import decision_curve


def counted(positive: np.ndarray, probability: np.ndarray, threshold: float) -> float:
    """Return Vickers and Elkin's net benefit, person by person."""
    benefit = 0.0
    for has, chance in zip(positive.tolist(), probability.tolist(), strict=True):
        if chance >= threshold:
            benefit += 1 if has else -threshold / (1 - threshold)
    return benefit / len(positive)


def test_net_benefits_are_those_of_persons_counted_one_by_one() -> None:
    generator = np.random.default_rng(0)
    positive = generator.random(90) < 0.3
    probability = generator.choice([0.0, 0.05, 0.2, 0.5, 0.9, 1.0], 90)
    thresholds = np.array([0.01, 0.05, 0.0501, 0.2, 0.5, 0.77, 0.9, 0.99])
    found = decision_curve(positive, probability, thresholds)
    for place, threshold in enumerate(thresholds):
        assert found.model[place] == pytest.approx(counted(positive, probability, threshold))
        everyone = counted(positive, np.ones(90), threshold)
        assert found.everyone[place] == pytest.approx(everyone)


def test_a_model_that_is_sure_and_right_finds_everyone_at_no_cost() -> None:
    positive = np.arange(10) < 3
    found = decision_curve(positive, positive.astype(float), np.array([0.1, 0.5, 0.9]))
    assert found.model == pytest.approx(0.3)
    assert found.everyone[1] == pytest.approx(0.3 - 0.7)
