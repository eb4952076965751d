"""Distance of a window from its reconstruction: as one number, and sample by sample."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from finetune.anomaly.networks.objective import divergence_terms, log_likelihood_terms
from finetune.anomaly.networks.vae import VaeOutput
from finetune.anomaly.settings import ScoreName

_ERROR_SHARE, _DIVERGENCE_SHARE, _SMALLEST_VARIANCE = 0.4, 0.6, 1e-6


class Deviation(NamedTuple):
    """Scores of windows."""

    scores: Float[Tensor, "b scores"]
    """Each of its scores, higher where a window is stranger."""
    samples: Float[Tensor, "b l t"]
    """Distance of each sample from what the detector expects; zero where nothing was recorded."""


def mean_over(
    values: Float[Tensor, "b l t"], counted: Bool[Tensor, "b l t"]
) -> Float[Tensor, " b"]:
    """Return the mean of each window over the samples that count; zero where none does."""
    return (values * counted).sum(dim=(1, 2)) / counted.sum(dim=(1, 2)).clamp(min=1)


def sum_of_whole(
    values: Float[Tensor, "b l t"], counted: Bool[Tensor, "b l t"]
) -> Float[Tensor, " b"]:
    """Return the sum of each window as if all of it was recorded and were like what counts."""
    return mean_over(values, counted) * values[0].numel()


def vae_deviation(
    signal: Float[Tensor, "b l t"],
    found: VaeOutput,
    counted: Bool[Tensor, "b l t"],
    names: Sequence[ScoreName],
) -> Deviation:
    """Score windows by what a variational autoencoder makes of them.

    Args:
        signal: the windows.
        found: what the autoencoder makes of them.
        counted: False for a sample that was not recorded.
        names: the scores asked for; the map is of squared errors in variances. What two of them
            sum over samples is raised to a whole window where not all was recorded.
    """
    squares = (signal - found.mean).square()
    in_variances = squares / (found.log_variance.exp() + _SMALLEST_VARIANCE)
    divergence = divergence_terms(found).sum(dim=(1, 2))
    values: dict[ScoreName, Tensor] = {
        "mse": mean_over(squares, counted),
        "nll": mean_over(log_likelihood_terms(signal, found), counted),
        "released": _released(in_variances, found.log_variance, counted, divergence),
    }
    if found.attention is not None:
        weighted = squares * found.attention[:, None]
        values["attention"] = sum_of_whole(weighted, counted) + divergence
    return Deviation(torch.stack([values[name] for name in names], dim=1), in_variances * counted)


def _released(
    in_variances: Tensor, log_variance: Tensor, counted: Tensor, divergence: Tensor
) -> Float[Tensor, " b"]:
    """Return 0.4 errors in variances + 0.6 log-variances + 0.6 divergence, each summed."""
    terms = _ERROR_SHARE * in_variances + (1 - _ERROR_SHARE) * log_variance
    return sum_of_whole(terms, counted) + _DIVERGENCE_SHARE * divergence
