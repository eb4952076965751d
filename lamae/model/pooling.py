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
