"""Pooling: from the tokens of a recording to one vector, the embedding that a classifier reads."""

from typing import Literal

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor

from lamae.amplitudes import AMPLITUDES
from lamae.encoder import Latents
from lamae.errors import InputError

Pooling = Literal[
    "attention", "mean", "mean_max", "lead_mean", "lead_mean_max", "lead_mean_amplitudes"
]
"""attention: the encoder's own pooling over leads. mean, max: over all patches of all leads, a set.
lead_*: over the patches of each lead, concatenated in the order of leads. amplitudes: the voltages
of each lead, from an encoder that reads mV."""


def pool(
    latents: Latents, pooling: Pooling, present: Bool[Tensor, "b l"] | None
) -> Float[Tensor, "b features"]:
    """Turn the tokens of each recording into one vector.

    An absent lead counts for nothing, nor does a patch of padding where `latents` tells which.
    Raises InputError for amplitudes of an encoder that does not know them.
    """
    if pooling == "attention":
        return latents.embedding
    if pooling == "lead_mean_amplitudes":
        known = torch.cat([mean_over_patches(latents), _amplitudes(latents)], dim=-1)
        if present is not None:
            known = known.masked_fill(~present[..., None], 0.0)
        return rearrange(known, "b l d -> b (l d)")
    mean, largest = mean_over_patches(latents), _largest_over_patches(latents)
    if present is None:
        present = torch.ones(mean.shape[:2], dtype=torch.bool, device=mean.device)
    absent = ~present[..., None]
    if pooling.startswith("lead"):
        parts = [x.masked_fill(absent, 0.0) for x in (mean, largest)]
        parts = [rearrange(x, "b l d -> b (l d)") for x in parts]
    else:
        over_leads = mean.masked_fill(absent, 0.0).sum(dim=1) / present.sum(dim=1, keepdim=True)
        parts = [over_leads, largest.masked_fill(absent, float("-inf")).amax(dim=1)]
    return torch.cat(parts, dim=1) if pooling.endswith("max") else parts[0]


def pooled_width(pooling: Pooling, *, width: int, leads: int) -> int:
    """Return how many features `pool` makes of the tokens of so many leads.

    0 leads are those of an encoder that has one row of tokens for all.
    """
    if pooling == "lead_mean_amplitudes":
        return (width + AMPLITUDES) * max(leads, 1)
    parts = 2 if pooling.endswith("max") else 1
    return parts * width * (max(leads, 1) if pooling.startswith("lead") else 1)


def _amplitudes(latents: Latents) -> Float[Tensor, "b l a"]:
    if latents.amplitudes is None:
        raise InputError(
            "pooling lead_mean_amplitudes",
            value="an encoder that does not read mV",
            expected="one pretrained with model.encoder.millivolts",
            remedy="Use pooling lead_mean.",
        )
    return latents.amplitudes


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
