"""What every classifier returns, whatever it is made of."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Outputs(NamedTuple):
    """Logits of a batch, and what a classifier tells of how it came to them."""

    logits: Float[Tensor, "b classes"]
    """One for each class: of a sigmoid where several may hold, else of a softmax."""
    lead_weights: Float[Tensor, "b l"] | None = None
    """Importance of each lead, which sums to one; None where the classifier knows none."""
    gate: Float[Tensor, "b d"] | None = None
    """Share of the encoder in each feature of a hybrid; None for all others."""
