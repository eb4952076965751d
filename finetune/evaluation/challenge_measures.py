"""Measures of the PhysioNet/CinC Challenges: its score, and F2 and G2 over its classes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from finetune.evaluation.operating_points import Decisions
from lamae.statistics.challenge_metric import (
    ChallengeWeights,
    official_values,
    scored_decisions,
    weighted_challenge_score,
)
from lamae.statistics.metrics import macro
from lamae.statistics.patient_resampling import Statistic
from lamae.statistics.thresholds import f_beta, g_beta, weighted_confusion

CHALLENGE = "challenge_score"
"""Key of the Challenge score, which is one number for all classes."""


def challenge_statistics(
    decisions: Mapping[str, Decisions],
    labels: np.ndarray,
    classes: Sequence[str],
    challenge: ChallengeWeights,
) -> dict[str, Statistic]:
    """Return, by classifier, what takes its Challenge score from weights."""
    truth = scored_decisions(labels, classes, challenge)

    def statistic(runs: np.ndarray) -> Statistic:
        scored = [scored_decisions(run, classes, challenge) for run in runs]
        return lambda weights: np.mean(
            [weighted_challenge_score(truth, own, challenge, weights) for own in scored], axis=0
        )[:, None]

    return {name: statistic(own.challenge) for name, own in decisions.items()}


def challenge_means(
    labels: np.ndarray,
    classes: Sequence[str],
    decided: np.ndarray,
    challenge: ChallengeWeights | None,
) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """Return what takes the Challenge's means from decisions and weights; nothing without one."""
    if challenge is None:
        return lambda called, weights: {}
    truth = scored_decisions(labels, classes, challenge)
    share = 1 / np.maximum(truth.sum(axis=1), 1)
    (kept,) = scored_decisions(decided[None], classes, challenge)
    kept &= truth[:, kept].any()  # without a positive recording a resample may have no value

    def means(called: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        scored = scored_decisions(called, classes, challenge)
        counts = weighted_confusion(truth, scored, weights * share)
        found = {"f2": f_beta(counts, beta=2.0), "g2": g_beta(counts, beta=2.0)}
        return {
            key: macro(np.where(kept, official_values(value, counts), np.nan))
            for key, value in found.items()
        }

    return means
