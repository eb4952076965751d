"""Parts that encoder and decoder share."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lamae.ecg.leads import lead_number


def sincos_positions(
    count: int, width: int, *, device: torch.device, base: float = 10_000.0
) -> Float[Tensor, "n d"]:
    """Return fixed sine-cosine positions 0..count-1 at full amplitude (Vaswani et al. 2017).

    Periods rise from 2 pi to that times `base`; of so many positions as `base`, neighbours differ
    in most of their numbers, where at 10,000 they are nearly alike.

    Learned positions that start small leave a masked autoencoder on its plateau for thousands of
    steps; these do not.
    """
    half = width // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(base) / half))
    angles = torch.arange(count, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def rows_of_leads(embedding: Float[Tensor, "all d"], leads: Sequence[str]) -> Float[Tensor, "l d"]:
    """Return the rows of canonical lead names, without an index that travels to the device."""
    return torch.stack([embedding[lead_number(lead)] for lead in leads])


def attended(
    patches: Bool[Tensor, "b l v"] | None, present: Bool[Tensor, "b l"] | None, *, tokens: int
) -> Bool[Tensor, "b l t"] | None:
    """Return which tokens of each lead, its CLS in front, others may attend to; None for all."""
    if patches is None:
        return None if present is None else present[..., None].expand(-1, -1, tokens)
    sees = F.pad(patches, (1, 0), value=True)
    return sees if present is None else sees & present[..., None]


class Transformer(nn.Module):
    """A stack of timm's pre-norm blocks."""

    def __init__(self, *, width: int, depth: int, heads: int) -> None:
        """Build `depth` blocks."""
        super().__init__()
        self.recomputes = False
        """True where backward computes a block again from its input, which alone is kept."""
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio=4.0, qkv_bias=True) for _ in range(depth)
        )

    def forward(
        self, tokens: Float[Tensor, "s t d"], present: Bool[Tensor, "s t"] | None = None
    ) -> Float[Tensor, "s t d"]:
        """Let the tokens of each sequence attend to one another, absent ones to none."""
        mask = None if present is None else present[:, None, None, :]
        recomputes = self.recomputes and torch.is_grad_enabled()
        for block in self.blocks:
            if recomputes:
                tokens = checkpoint(
                    block,
                    tokens,
                    attn_mask=mask,
                    use_reentrant=False,
                    preserve_rng_state=False,  # no block draws a random number
                )
            else:
                tokens = block(tokens, attn_mask=mask)
        return tokens

    def each_lead(
        self, tokens: Float[Tensor, "b l t d"], sees: Bool[Tensor, "b l t"] | None
    ) -> Float[Tensor, "b l t d"]:
        """Let the tokens of each lead attend to one another, and to none of another lead."""
        mask = None if sees is None else rearrange(sees, "b l t -> (b l) t")
        mixed = self(rearrange(tokens, "b l t d -> (b l) t d"), mask)
        return rearrange(mixed, "(b l) t d -> b l t d", b=tokens.shape[0])

    def all_leads(
        self, tokens: Float[Tensor, "b l t d"], sees: Bool[Tensor, "b l t"] | None
    ) -> Float[Tensor, "b l t d"]:
        """Let the tokens of all leads of a recording attend to one another."""
        mask = None if sees is None else rearrange(sees, "b l t -> b (l t)")
        mixed = self(rearrange(tokens, "b l t d -> b (l t) d"), mask)
        return rearrange(mixed, "b (l t) d -> b l t d", l=tokens.shape[1])

    @torch.no_grad()
    def attend_to_alike(self) -> None:
        """Start with equal query and key weights, so that tokens attend to those like them.

        With positions in the tokens, attention then starts on the same and the nearest times
        rather than at random (mimetic initialisation, Trockman and Kolter 2023).
        """
        for block in self._untyped():
            query, key, _ = block.attn.qkv.weight.chunk(3)
            key.copy_(query)

    def start_as_identity(self) -> None:
        """Zero the output of every residual branch."""
        for block in self._untyped():
            for layer in (block.attn.proj, block.mlp.fc2):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def _untyped(self) -> list[Any]:
        return list(self.blocks)  # torch types the parts of a module as Tensor | Module


def initialise(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases in linear layers, as in MAE (He et al. 2021)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
