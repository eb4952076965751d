"""Pooling: from the tokens of a recording to one vector, the embedding that a classifier reads."""

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor

from lamae.model.encoder import Latents
from lamae.model.settings import Pooling


def pool(
    latents: Latents, pooling: Pooling, present: Bool[Tensor, "b l"] | None
) -> Float[Tensor, "b features"]:
    """Turn the tokens of each recording into one vector.

    An absent lead counts for nothing, nor does a patch of padding where `latents` tells which.
    """
    if pooling == "attention":
        return latents.embedding
    mean = mean_over_patches(latents)
    if present is None:
        present = torch.ones(mean.shape[:2], dtype=torch.bool, device=mean.device)
    absent = ~present[..., None]
    if pooling.startswith("lead"):
        parts = [mean, *_beside_mean(latents, pooling)]
        return torch.cat(
            [rearrange(x.masked_fill(absent, 0.0), "b l d -> b (l d)") for x in parts], dim=1
        )
    over_leads = mean.masked_fill(absent, 0.0).sum(dim=1) / present.sum(dim=1, keepdim=True)
    if pooling == "mean":
        return over_leads
    largest = _largest_over_patches(latents).masked_fill(absent, float("-inf")).amax(dim=1)
    return torch.cat([over_leads, largest], dim=1)


def pooled_width(pooling: Pooling, *, width: int, leads: int, amplitudes: int = 0) -> int:
    """Return how many features `pool` makes of the tokens of so many leads.

    0 leads are those of an encoder that has one row of tokens for all; `amplitudes` are those that
    it knows of each lead.
    """
    rows = max(leads, 1) if pooling.startswith("lead") else 1
    if pooling == "lead_summary":
        return (2 * width + amplitudes) * rows
    return (2 if pooling.endswith("max") else 1) * width * rows


def _beside_mean(latents: Latents, pooling: Pooling) -> list[Float[Tensor, "b l _"]]:
    """Return what a pooling of leads has beside the mean over the patches of each."""
    if pooling == "lead_mean_max":
        return [_largest_over_patches(latents)]
    if pooling == "lead_mean":
        return []
    cls = latents.tokens[:, :, 0]
    return [cls] if latents.amplitudes is None else [cls, latents.amplitudes]


def mean_over_patches(latents: Latents) -> Float[Tensor, "b l d"]:
    """Return the mean over the patches of each lead; CLS is none of them."""
    tokens = latents.tokens[:, :, 1:]
    if latents.valid is None:
        return reduce(tokens, "b l v d -> b l d", "mean")
    valid = latents.valid[:, :, 1:, None]
    return (tokens * valid).sum(dim=2) / valid.sum(dim=2).clamp(min=1)


def _largest_over_patches(latents: Latents) -> Float[Tensor, "b l d"]:
    tokens = latents.tokens[:, :, 1:]
    if latents.valid is not None:
        tokens = tokens.masked_fill(~latents.valid[:, :, 1:, None], float("-inf"))
    return tokens.amax(dim=2)
