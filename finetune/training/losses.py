"""Losses: cross-entropy and focal loss, for one class of several or for several at once."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class ClassWeights(NamedTuple):
    """Weight of a recording in the loss, by its classes."""

    positive: Float[Tensor, " classes"]
    """Weight of a recording that has the class."""
    negative: Float[Tensor, " classes"] | None = None
    """Weight of one that lacks it; None where each recording has exactly one class."""


class ClassificationLoss(nn.Module):
    """Mean of -w (1 - p)^gamma log p, where p is the probability given to what is true.

    With gamma 0 the cross-entropy; above it the focal loss (Lin et al. 2017, equation 5, whose
    alpha are the weights w). Where a recording has exactly one class, p comes of a softmax and the
    mean is over recordings; where it may have several, of a sigmoid, over recordings and classes.
    A mean never divides by the weights, so parts of a batch make up the batch.
    """

    positive: Tensor | None
    """Weights of recordings that have the class."""
    negative: Tensor | None
    """Weights of those that lack it."""

    def __init__(
        self, *, multi_label: bool, gamma: float = 0.0, weights: ClassWeights | None = None
    ) -> None:
        """Build the loss of one task.

        Args:
            multi_label: whether a recording may have several classes, or has exactly one.
            gamma: at least 0; the larger, the less a recording counts that is well classified.
            weights: of the classes; all are 1 without it.
        """
        super().__init__()
        self.multi_label = multi_label
        self.gamma = gamma
        positive, negative = weights or (None, None)
        self.register_buffer("positive", positive, persistent=False)
        self.register_buffer("negative", negative, persistent=False)

    def forward(
        self, logits: Float[Tensor, "b classes"], labels: Bool[Tensor, "b classes"]
    ) -> Float[Tensor, ""]:
        """Return the mean loss; without multi_label each row of `labels` has exactly one True."""
        logits = logits.float()
        if self.multi_label:
            surprise = F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none")
        else:
            surprise = F.cross_entropy(logits, labels.float(), reduction="none")
        if self.gamma:  # 1 - p is kept from 0, where a root has no derivative
            doubt = (-torch.expm1(-surprise)).clamp(min=torch.finfo(surprise.dtype).eps)
            surprise = doubt**self.gamma * surprise
        weights = self._weights(labels)
        return (surprise if weights is None else weights * surprise).mean()

    def _weights(self, labels: Tensor) -> Tensor | None:
        if self.positive is None:
            return None
        if not self.multi_label:
            return labels.float() @ self.positive
        others = torch.ones_like(self.positive) if self.negative is None else self.negative
        return torch.where(labels, self.positive, others)


def balanced_class_weights(
    labels: Bool[Tensor, "records classes"], *, multi_label: bool
) -> ClassWeights:
    """Return scikit-learn's balanced weights, n / (classes * records of the class).

    Where a recording may have several classes, each is a task of two, with it and without. A class
    that no recording has (or lacks) is never weighted, and gets 1.
    """
    records = len(labels)
    positives = labels.sum(dim=0)
    if not multi_label:
        return ClassWeights(_balanced(positives, records, parts=labels.shape[1]))
    return ClassWeights(
        _balanced(positives, records, parts=2), _balanced(records - positives, records, parts=2)
    )


def _balanced(counts: Tensor, records: int, *, parts: int) -> Float[Tensor, " classes"]:
    weights = records / (parts * counts.clamp(min=1).float())
    return weights.masked_fill(counts == 0, 1.0)
