"""Rules by which the threshold of a detector is chosen on validation recordings."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import genpareto

from finetune.anomaly.settings import RuleName, RuleSettings
from lamae.errors import InputError
from lamae.statistics.metrics import check_finite
from lamae.statistics.thresholds import (
    Criterion,
    Thresholds,
    choose_thresholds,
    f_beta,
    youden,
)

RULES: tuple[RuleName, ...] = ("percentile", "youden", "max_f1", "pot")

ABNORMAL = "abnormal"
"""Name of the one class of a detector."""


def choose_threshold(
    rule: RuleName,
    abnormal: Bool[np.ndarray, " records"],
    score: Float[np.ndarray, " records"],
    patients: list[str],
    settings: RuleSettings,
) -> Thresholds:
    """Choose on validation recordings the lowest score that is called abnormal.

    Raises InputError for scores that are not finite, and where there are no recordings to choose
    on.
    """
    check_finite(score[:, None])
    criteria: dict[RuleName, Criterion] = {"youden": youden, "max_f1": f_beta}
    if rule in criteria:
        return choose_thresholds(
            abnormal[:, None],
            score[:, None],
            patients,
            classes=(ABNORMAL,),
            criterion=criteria[rule],
        )
    normal = score[~abnormal].astype(np.float64)
    if not len(normal):
        raise InputError(
            f"threshold by rule {rule}",
            value="no normal recording on validation",
            expected="at least one",
            remedy="Raise hold_out=, or choose another rule.",
        )
    value = (
        np.percentile(normal, settings.percentile)
        if rule == "percentile"
        else peaks_over_threshold(normal, start=settings.pot_start, risk=settings.pot_risk)
    )
    return Thresholds(np.array([value]), (ABNORMAL,), (), frozenset(patients))


def peaks_over_threshold(
    scores: Float[np.ndarray, " records"], *, start: float, risk: float
) -> float:
    """Return the score that the share `risk` of normals is expected to exceed.

    Args:
        scores: of normal recordings.
        start: percentile above which a generalised Pareto distribution is fitted to the excess.
        risk: at most the share above the start, else the percentile itself is returned.
    """
    beginning = float(np.percentile(scores, start))
    excess = scores[scores > beginning] - beginning
    above = len(excess) / len(scores)
    if risk >= above or len(excess) < 2:
        return float(np.percentile(scores, 100 * (1 - risk)))
    shape, _, scale = genpareto.fit(excess, floc=0.0)
    return beginning + float(genpareto.isf(risk / above, shape, scale=scale))
