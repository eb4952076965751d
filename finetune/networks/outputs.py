"""Outputs of every classifier, and the layer that its logits are from.

A classifier is called with a signal as its preprocessor gives it, (b, l, samples), and the
`Recorded` of it: leads that are absent count for nothing, nor does padding.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Outputs(NamedTuple):
    """Logits of a batch, and what a classifier tells of how it came to them."""

    logits: Float[Tensor, "b classes"]
    """One for each class: of a sigmoid where several may hold, else of a softmax."""
    lead_weights: Float[Tensor, "b l"] | None = None
    """Importance of each lead, which sums to one; None where the classifier knows none."""
    gate: Float[Tensor, "b d"] | None = None
    """Share of the encoder in each feature of a hybrid; None for all others."""


class LogitLayer(nn.Linear):
    """The last linear layer of a classifier, in the precision of its weights under autocast too.

    Logits of bf16 have 8 significant bits: many recordings would share one probability.
    """

    def forward(self, input: Float[Tensor, "b d"]) -> Float[Tensor, "b classes"]:
        """Return one logit for each class."""
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.to(self.weight.dtype), self.weight, self.bias)
