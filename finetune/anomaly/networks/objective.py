"""The loss of the variational autoencoders, and what weight it gives to the divergence.

Released, the likelihood is summed over samples and leads and the divergence averaged over latent
numbers, so that beta weighs it by beta / (latents * width) of what the evidence lower bound does.
"""

import math
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from finetune.anomaly.networks.vae import VaeOutput
from finetune.anomaly.settings import AnomalyTraining

_LARGEST_LOG_VARIANCE = 10.0


def log_likelihood_terms(
    signal: Float[Tensor, "b l t"], found: VaeOutput
) -> Float[Tensor, "b l t"]:
    """Return the negative log-likelihood of each sample; log-variances are held within 10."""
    log_variance = found.log_variance.clamp(-_LARGEST_LOG_VARIANCE, _LARGEST_LOG_VARIANCE)
    squares = (signal - found.mean).square()
    return (math.log(2 * math.pi) + log_variance + squares * (-log_variance).exp()) / 2


def divergence_terms(found: VaeOutput) -> Float[Tensor, "b n d"]:
    """Return the divergence of each latent number from a standard normal one, in nats."""
    mean, log_variance = found.latent_mean, found.latent_log_variance
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def vae_loss(
    signal: Float[Tensor, "b l t"],
    found: VaeOutput,
    counted: Bool[Tensor, "b l t"],
    *,
    beta: float,
    kl: Literal["mean", "sum"],
) -> Float[Tensor, ""]:
    """Return the mean loss of windows: summed negative log-likelihood plus beta divergence.

    A sample has a likelihood where `counted` says that it was recorded.
    """
    likelihood = (log_likelihood_terms(signal, found) * counted).sum(dim=(1, 2)).mean()
    each = divergence_terms(found)
    divergence = each.mean() if kl == "mean" else each.sum(dim=(1, 2)).mean()
    return likelihood + beta * divergence


def beta_at(step: int, training: AnomalyTraining) -> float:
    """Return the weight of the divergence at a step: a ramp, then level, over and over."""
    ramp = max(1, int(training.cycle_steps * training.ramp))
    return training.max_beta * min((step % training.cycle_steps + 1) / ramp, 1.0)
