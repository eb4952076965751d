"""Ridge regression in closed form: a linear classifier in a second, its penalty included."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lamae.errors import InputError

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)
"""Penalties to choose from, relative to the mean eigenvalue of the Gram matrix."""


def ridge_scores(
    features: Float[Tensor, "train width"],
    labels: Bool[Tensor, "train classes"],
    evaluated: Float[Tensor, "records width"],
) -> Float[Tensor, "records classes"]:
    """Fit each class by ridge regression and return its scores of other recordings, in float64.

    Features and targets are standardised by the training recordings. One penalty serves all
    classes: the one with the least squared error when each recording is left out in turn (Allen's
    PRESS). All of it follows from one eigendecomposition of a matrix (train, train), however wide
    the features. Every class must have a positive and a negative recording.

    Raises InputError for features that are not finite.
    """
    _check_finite(features, evaluated)
    scale, mean = torch.std_mean(features.double(), dim=0, correction=0)
    scale = scale.where(scale > torch.finfo(torch.float32).eps * mean.abs(), 1.0)
    known, unknown = ((x.double() - mean) / scale for x in (features, evaluated))
    spread, centre = torch.std_mean(labels.double(), dim=0, correction=0)
    target = (labels.double() - centre) / spread
    values, vectors = torch.linalg.eigh(known @ known.T)
    rotated = vectors.T @ target
    strengths = [strength * values.mean().clamp(min=1e-12) for strength in STRENGTHS]
    errors = [_left_out_error(values, vectors, rotated, strength) for strength in strengths]
    strength = torch.stack(strengths)[torch.stack(errors).argmin()]
    dual = vectors @ (rotated / (values + strength)[:, None])
    return unknown @ (known.T @ dual)


def _left_out_error(
    values: Float[Tensor, " train"],
    vectors: Float[Tensor, "train train"],
    rotated: Float[Tensor, "train classes"],
    strength: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Return the mean squared error of recordings left out, from the residuals of those kept in.

    Each is its residual over 1 - h, h its own weight in its fit, the intercept's 1 / n included.
    """
    shrinkage = strength / (values + strength)
    residual = vectors @ (shrinkage[:, None] * rotated)
    own = vectors.square() @ shrinkage - 1 / len(values)
    return (residual / own[:, None]).square().mean()


def _check_finite(*features: Tensor) -> None:
    if not all(bool(torch.isfinite(x).all()) for x in features):
        raise InputError(
            "embeddings of the probe",
            value="NaN or infinity",
            expected="finite numbers",
            remedy="Find out at which step the encoder began to give them; lower lr.",
        )
