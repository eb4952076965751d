"""Net benefit of acting on probabilities: decision curves (Vickers and Elkin 2006).

Who acts where a probability is at or above p takes a false alarm for p / (1 - p) of a patient
found. The net benefit is TP / N - FP / N p / (1 - p), in patients found per person without a false
alarm to pay for; never to act has 0.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from lamae.statistics.ranked_counts import ranked_counts


class DecisionCurve(NamedTuple):
    """Net benefits by the probability from which on somebody acts."""

    threshold: Float[np.ndarray, " thresholds"]
    """Probabilities from which on somebody acts."""
    model: Float[np.ndarray, " thresholds"]
    """Net benefit of acting on the probabilities of a model."""
    everyone: Float[np.ndarray, " thresholds"]
    """Net benefit of acting on everyone."""


def decision_curve(
    positive: Bool[np.ndarray, " records"],
    probability: Shaped[np.ndarray, " records"],
    thresholds: Float[np.ndarray, " thresholds"],
) -> DecisionCurve:
    """Return the net benefits of a model and of acting on everyone."""
    counts = ranked_counts(positive, probability).from_none()
    # `score` falls: the last that is at or above a threshold ends those who are called.
    called = np.searchsorted(-counts.score, -thresholds, side="right") - 1
    true, false = counts.positive[0][called], counts.negative[0][called]
    odds = thresholds / (1 - thresholds)
    share = positive.mean()
    return DecisionCurve(
        thresholds, (true - odds * false) / len(positive), share - odds * (1 - share)
    )
