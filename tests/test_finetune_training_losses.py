"""Losses against torch's, hand formulas and scikit-learn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from finetune.training.losses import ClassificationLoss, ClassWeights, balanced_class_weights

CLASSES = 4


def one_hot(numbers: torch.Tensor) -> torch.Tensor:
    return F.one_hot(numbers, CLASSES).bool()


def draw(*, multi_label: bool, records: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(records, CLASSES, generator=generator)
    if multi_label:
        return logits, torch.rand(records, CLASSES, generator=generator) < 0.3
    return logits, one_hot(torch.randint(CLASSES, (records,), generator=generator))


def test_without_gamma_one_class_of_several_is_torch_cross_entropy() -> None:
    logits, labels = draw(multi_label=False)
    loss = ClassificationLoss(multi_label=False)(logits, labels)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels.int().argmax(dim=1)))


def test_without_gamma_several_classes_are_torch_binary_cross_entropy() -> None:
    logits, labels = draw(multi_label=True)
    loss = ClassificationLoss(multi_label=True)(logits, labels)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, labels.float()))


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_loss_of_one_class_is_its_published_formula(gamma: float) -> None:
    logits, labels = draw(multi_label=False)
    alpha = np.array([0.5, 1.0, 2.0, 4.0])
    exponent = np.exp(logits.double().numpy())
    probability = (exponent / exponent.sum(axis=1, keepdims=True))[labels.numpy()]
    weight = np.broadcast_to(alpha, labels.shape)[labels.numpy()]
    expected = -(weight * (1 - probability) ** gamma * np.log(probability)).mean()
    weights = ClassWeights(torch.tensor(alpha).float())
    loss = ClassificationLoss(multi_label=False, gamma=gamma, weights=weights)
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_loss_of_several_classes_is_its_published_formula(gamma: float) -> None:
    logits, labels = draw(multi_label=True)
    positive, negative = np.array([4.0, 3.0, 2.0, 1.0]), np.array([0.5, 0.6, 0.7, 0.8])
    true = labels.numpy()
    sigmoid = 1 / (1 + np.exp(-logits.double().numpy()))
    probability = np.where(true, sigmoid, 1 - sigmoid)
    weight = np.where(true, positive, negative)
    expected = -(weight * (1 - probability) ** gamma * np.log(probability)).mean()
    weights = ClassWeights(torch.tensor(positive).float(), torch.tensor(negative).float())
    loss = ClassificationLoss(multi_label=True, gamma=gamma, weights=weights)
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_focal_loss_discounts_by_the_ratio_of_the_paper() -> None:
    # Lin et al. 2017, section 3.2: with gamma 2 and p = 0.9 the loss is 100 times lower.
    logits = torch.log(torch.tensor([[0.9, 0.1 / 3, 0.1 / 3, 0.1 / 3]]))
    labels = one_hot(torch.tensor([0]))
    plain, focal = (
        ClassificationLoss(multi_label=False, gamma=gamma)(logits, labels) for gamma in (0.0, 2.0)
    )
    assert (plain / focal).item() == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_loss_and_its_gradient_are_finite_at_certainty(multi_label: bool, gamma: float) -> None:
    labels = one_hot(torch.tensor([0, 1]))
    logits = torch.where(labels, 200.0, -200.0)
    logits[1] *= -1  # certain and right, certain and wrong
    logits.requires_grad_()
    loss = ClassificationLoss(multi_label=multi_label, gamma=gamma)(logits, labels)
    loss.backward()
    assert logits.grad is not None
    assert loss.isfinite() and logits.grad.isfinite().all()
    assert loss > 1


@pytest.mark.parametrize("multi_label", [False, True])
def test_parts_of_a_batch_make_up_its_loss(multi_label: bool) -> None:
    logits, labels = draw(multi_label=multi_label)
    weights = balanced_class_weights(labels, multi_label=multi_label)
    loss = ClassificationLoss(multi_label=multi_label, gamma=2.0, weights=weights)
    parts = [loss(logits[rows], labels[rows]) * len(rows) for rows in torch.arange(50).split(20)]
    torch.testing.assert_close(sum(parts) / 50, loss(logits, labels))


def test_balanced_weights_of_one_class_are_those_of_scikit_learn() -> None:
    numbers = torch.tensor([0] * 7 + [1] * 2 + [2] + [3] * 5)
    weights = balanced_class_weights(one_hot(numbers), multi_label=False)
    expected = compute_class_weight("balanced", classes=np.arange(CLASSES), y=numbers.numpy())
    np.testing.assert_allclose(weights.positive.numpy(), expected, rtol=1e-6)
    assert weights.negative is None


def test_balanced_weights_of_several_classes_are_those_of_scikit_learn_for_each() -> None:
    _, labels = draw(multi_label=True)
    weights = balanced_class_weights(labels, multi_label=True)
    assert weights.negative is not None
    for number in range(CLASSES):
        column = labels[:, number].numpy()
        negative, positive = compute_class_weight(
            "balanced", classes=np.array([False, True]), y=column
        )
        assert weights.positive[number].item() == pytest.approx(positive)
        assert weights.negative[number].item() == pytest.approx(negative)


def test_a_class_without_records_gets_a_weight_that_is_finite() -> None:
    labels = torch.tensor([[True, False, True, False]] * 3)
    weights = balanced_class_weights(labels, multi_label=True)
    assert weights.positive.tolist() == [0.5, 1.0, 0.5, 1.0]
    assert weights.negative is not None
    assert weights.negative.tolist() == [1.0, 0.5, 1.0, 0.5]


def test_the_minimum_of_the_weighted_loss_is_scikit_learns_balanced_regression() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(300, 3))
    column = features[:, 0] + generator.normal(size=300) > 1.2
    oracle = LogisticRegression(C=1.0, class_weight="balanced", tol=1e-10, max_iter=1000)
    oracle.fit(features, column)
    labels = torch.from_numpy(column)[:, None]
    weights = balanced_class_weights(labels, multi_label=True)
    loss = ClassificationLoss(multi_label=True, weights=weights)
    line = torch.from_numpy(oracle.coef_[0]).float().requires_grad_()
    bias = torch.from_numpy(oracle.intercept_).float().requires_grad_()
    logits = torch.from_numpy(features).float() @ line + bias
    (loss(logits[:, None], labels) + line.square().sum() / 2 / 300).backward()
    for parameter in (line, bias):  # the gradient is zero where scikit-learn ended
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, torch.zeros_like(parameter), atol=1e-5, rtol=0)


def test_weights_travel_with_the_loss_and_stay_out_of_what_is_saved() -> None:
    loss = ClassificationLoss(multi_label=False, weights=ClassWeights(torch.ones(CLASSES)))
    positive = loss.to(torch.float64).positive
    assert positive is not None and positive.dtype == torch.float64
    assert not loss.state_dict()
