"""Ridge regression agrees with scikit-learn and with leaving out each recording in earnest."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeCV

from lamae.errors import InputError
from pretrain.monitoring.ridge import STRENGTHS, ridge_scores


def draw(records: int, width: int, noise: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(records + width)
    features = torch.randn(records, width, generator=generator) * 3 + 5
    weights = torch.randn(width, 3, generator=generator)
    score = (features - 5) @ weights
    score += noise * score.std() * torch.randn(records, 3, generator=generator)
    return features, score > torch.tensor([0.0, 5.0, -5.0]), torch.randn(20, width) * 3 + 5


def standardise(fitted: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    known = fitted.double().numpy()
    found: np.ndarray = (other.double().numpy() - known.mean(axis=0)) / known.std(axis=0)
    return found


@pytest.mark.parametrize(("records", "width"), [(60, 8), (40, 120), (30, 30)])
@pytest.mark.parametrize("noise", [0.0, 1.0, 10.0])
def test_scores_are_those_of_scikit_learn_with_the_penalty_it_chooses(
    records: int, width: int, noise: float
) -> None:
    features, labels, evaluated = draw(records, width, noise)
    known = standardise(features, features)
    penalties = np.array(STRENGTHS) * np.trace(known @ known.T) / records
    oracle = RidgeCV(alphas=penalties).fit(known, standardise(labels, labels))
    expected = oracle.predict(standardise(features, evaluated))
    found = ridge_scores(features, labels, evaluated).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_penalty_is_the_one_that_leaving_out_each_recording_in_earnest_prefers() -> None:
    features, labels, evaluated = draw(24, 40, 1.0)
    known, target = standardise(features, features), standardise(labels, labels)
    penalties = np.array(STRENGTHS) * np.trace(known @ known.T) / 24

    def error(penalty: float) -> float:
        total = 0.0
        for left_out in range(24):
            kept = np.delete(np.arange(24), left_out)
            line = Ridge(penalty).fit(known[kept], target[kept])
            total += float(np.square(line.predict(known[[left_out]]) - target[left_out]).sum())
        return total

    best = min(penalties, key=error)
    expected = Ridge(best).fit(known, target).predict(standardise(features, evaluated))
    found = ridge_scores(features, labels, evaluated).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_feature_that_never_changes_counts_for_nothing() -> None:
    features, labels, evaluated = draw(40, 8, 1.0)
    constant = torch.full((60, 1), 7.3)
    found = ridge_scores(
        torch.cat([features, constant[:40]], dim=1),
        labels,
        torch.cat([evaluated, constant[40:]], dim=1),
    )
    torch.testing.assert_close(found, ridge_scores(features, labels, evaluated))


def test_embeddings_that_are_not_finite_are_refused() -> None:
    features, labels, evaluated = draw(40, 8, 1.0)
    evaluated[3, 2] = float("nan")
    with pytest.raises(InputError, match="embeddings of the probe: NaN or infinity"):
        ridge_scores(features, labels, evaluated)
