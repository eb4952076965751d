"""Probabilities from logits."""

import numpy as np
from jaxtyping import Shaped
from scipy.special import expit, softmax


def probabilities(
    logits: Shaped[np.ndarray, "*records classes"], *, multi_label: bool
) -> np.ndarray:
    """Return what logits stand for: of a sigmoid for several classes, of a softmax for one."""
    return expit(logits) if multi_label else softmax(logits, axis=-1)
