"""Logistic regression with an l2 penalty, by L-BFGS where the loss is nearly round.

The loss is the mean over records of the cross-entropy (summed over classes where a record may
have several) plus l2 / 2 times the squared weights; the biases are free. The features are turned
into their principal axes, in which the curvature of the loss is close to the diagonal
p (1 - p) S + l2, with S the variance along an axis and p the share of records that have a class
(Boehning 1992 has the bound with 1/4). Steps are scaled by its root, and a fit takes tens of
evaluations where it takes hundreds without. Products with the features are in float32, which
halves the memory that is read; loss, residuals and weights are in float64.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

_MOST_ITERATIONS = 300


class LinearModel(NamedTuple):
    """A fitted model for each class, and how flat the loss is there."""

    weight: Float[Tensor, "classes width"]
    """float64, of the features as they were given."""
    bias: Float[Tensor, " classes"]
    """float64."""
    gradient: float
    """Largest entry of the gradient of the mean loss."""


class LogisticRegression:
    """Records that models of several strengths are fitted to."""

    def __init__(
        self,
        features: Float[Tensor, "records width"],
        labels: Bool[np.ndarray, "records classes"],
        *,
        multi_label: bool,
    ) -> None:
        """Turn the features, float32 and standardised, into their principal axes."""
        covariance = (features.T @ features).double() / len(features)
        variances, self._axes = torch.linalg.eigh(covariance)
        self._variances = variances.clamp(min=0)
        self._turned = features @ self._axes.float()
        self._target = torch.from_numpy(labels.astype(np.float64))
        self._multi_label = multi_label

    def fit(
        self,
        *,
        l2: float,
        records: Bool[np.ndarray, " records"] | None = None,
        start: LinearModel | None = None,
        tolerance: float,
    ) -> LinearModel:
        """Fit a model to some of the records, or to all.

        Args:
            l2: strength of the penalty.
            records: True for the records to fit to.
            start: where to begin; at zero without it.
            tolerance: largest entry of the gradient at which the fit ends.
        """
        turned, target = self._turned, self._target
        if records is not None:
            chosen = torch.from_numpy(records)
            turned, target = turned[chosen], target[chosen]
        share = target.mean(dim=0).clamp(0.5 / len(target), 1 - 0.5 / len(target))
        curvature = share * (1 - share)
        scale = (curvature[:, None] * self._variances + l2).rsqrt()
        scale_bias = curvature.rsqrt()
        weight, bias = torch.zeros_like(scale), torch.zeros_like(scale_bias)
        if start is not None:
            weight, bias = start.weight @ self._axes / scale, start.bias / scale_bias
        weight.requires_grad_()
        bias.requires_grad_()
        optimiser = torch.optim.LBFGS(
            [weight, bias],
            max_iter=_MOST_ITERATIONS,
            max_eval=2 * _MOST_ITERATIONS,
            history_size=20,
            tolerance_grad=tolerance * float(scale.min()),
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        @torch.no_grad()
        def evaluate() -> Tensor:
            scaled = weight * scale
            logits = F.linear(turned, scaled.float()).double() + bias * scale_bias
            loss, residual = self._loss(logits, target)
            slope = (residual.T.float() @ turned).double() + l2 * scaled
            weight.grad, bias.grad = slope * scale, residual.sum(dim=0) * scale_bias
            return loss + l2 / 2 * scaled.square().sum()

        optimiser.step(evaluate)
        evaluate()
        assert weight.grad is not None and bias.grad is not None
        slopes = ((weight.grad / scale) @ self._axes.T, bias.grad / scale_bias)
        gradient = max(float(slope.abs().max()) for slope in slopes)
        turned_back = (weight * scale).detach() @ self._axes.T
        return LinearModel(turned_back, (bias * scale_bias).detach(), gradient)

    def logits(self, model: LinearModel, records: Bool[np.ndarray, " records"]) -> np.ndarray:
        """Return float64 (chosen, classes): what a model gives for some of the records."""
        turned = self._turned[torch.from_numpy(records)]
        weight = (model.weight @ self._axes).float()
        return (F.linear(turned, weight).double() + model.bias).numpy()

    def _loss(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss, and its gradient with respect to the logits."""
        count = len(target)
        if self._multi_label:
            loss = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
            return loss / count, (logits.sigmoid() - target) / count
        loss = F.cross_entropy(logits, target, reduction="sum")
        return loss / count, (logits.softmax(dim=1) - target) / count
