"""The decoder, which is left behind after pretraining: it predicts hidden patches."""

from collections.abc import Sequence
from typing import Literal

import torch
from einops import repeat
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from lamae.encoder import EncoderSettings, Latents
from lamae.layers import (
    Transformer,
    TransformerSettings,
    attended,
    initialise,
    rows_of_leads,
    sincos_positions,
)
from lamae.leads import LEADS
from lamae.masking import valid_tokens


class DecoderSettings(TransformerSettings):
    """Size and reach of the decoder."""

    width: int = Field(256, gt=0)
    """Width of a token."""
    depth: int = Field(4, gt=0)
    """Blocks."""
    heads: int = Field(4, gt=0)
    """Attention heads."""
    attends: Literal["lead", "all"] = "lead"
    """Draw each lead from its own latents, as ST-MEM does, or from those of all leads.

    With `all`, leads meet in the decoder, whatever the method of the encoder."""
    lead_scale: float = Field(1.0, gt=0)
    """Deviation of the embedding of a lead's name at the start; a small one lets attention start on
    the same time of all leads."""


class Decoder(nn.Module):
    """Predict every patch from the latents of the visible ones."""

    def __init__(self, settings: DecoderSettings, encoder: EncoderSettings) -> None:
        """Build a decoder for the latents of an encoder."""
        super().__init__()
        self.settings = settings
        width = settings.width
        self.project = nn.Linear(encoder.width, width)
        self.from_embedding = nn.Linear(encoder.width, width)
        self.mask_token = nn.Parameter(torch.randn(width) * 0.02)
        names = torch.randn(len(LEADS), width) * settings.lead_scale
        self.lead_embedding = nn.Parameter(names)
        self.position_base = encoder.position_base
        self.transformer = Transformer(width=width, depth=settings.depth, heads=settings.heads)
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, encoder.patch_size)
        self.apply(initialise)
        self.transformer.attend_to_alike()
        nn.init.zeros_(self.from_embedding.weight)

    def forward(
        self,
        latents: Latents,
        leads: Sequence[str],
        patches: int,
        *,
        visible: Int[Tensor, "b s v"],
        seen: Int[Tensor, "b s"] | None,
        present: Bool[Tensor, "b l"] | None,
        valid: Bool[Tensor, "b n"] | None,
        decoded: Int[Tensor, "b l k"] | None = None,
    ) -> Float[Tensor, "b l k d"]:
        """Return a token for each patch of each lead, or for each decoded one.

        Those that are neither visible nor decoded then cost nothing.
        """
        tokens = self._place(latents, leads, visible, seen, patches)
        kept = None if decoded is None else torch.cat([visible, decoded], dim=2)
        if kept is not None:
            where = repeat(kept, "b l k -> b l k d", d=tokens.shape[-1])
            tokens = torch.cat([tokens[:, :, :1], tokens[:, :, 1:].gather(2, where)], dim=2)
        recorded = valid_tokens(kept, valid, leads=len(leads))
        if self.settings.attends == "all":
            sees = attended(recorded, present, tokens=tokens.shape[2])
            tokens = self.transformer.all_leads(tokens, sees)
        else:
            sees = attended(recorded, None, tokens=tokens.shape[2])
            tokens = self.transformer.each_lead(tokens, sees)
        first = 1 if decoded is None else 1 + visible.shape[2]
        return self.norm(tokens[:, :, first:])

    def _place(
        self,
        latents: Latents,
        leads: Sequence[str],
        visible: Tensor,
        seen: Tensor | None,
        patches: int,
    ) -> Float[Tensor, "b l t d"]:
        """Put the latents where their patches are, mask tokens elsewhere, CLS in front.

        The embedding of the whole recording enters through CLS, at zero weight to begin with:
        so pooling over leads is learnt in pretraining, and step 0 is the independent autoencoder.
        Where leads are kept apart, that of the lead alone enters.
        """
        tokens = self.project(latents.tokens)
        b, s, _, d = tokens.shape
        grid = repeat(self.mask_token, "d -> b s n d", b=b, s=s, n=patches).to(tokens.dtype)
        where = repeat(visible, "b s v -> b s v d", d=d)
        grid = grid.scatter(2, where, tokens[:, :, 1:])
        cls, own = tokens[:, :, :1], latents.lead_embeddings
        if own is not None:
            cls = cls + self.from_embedding(own)[:, :, None]
        if seen is not None:
            shape = {"b": b, "l": len(leads)}
            unseen = repeat(self.mask_token, "d -> b l t d", t=patches + 1, **shape).to(cls.dtype)
            where = repeat(seen, "b s -> b s t d", t=patches + 1, d=d)
            every = unseen.scatter(1, where, torch.cat([cls, grid], dim=2))
            cls, grid = every[:, :, :1], every[:, :, 1:]
        grid = grid + sincos_positions(patches, d, device=tokens.device, base=self.position_base)
        grid = grid + rows_of_leads(self.lead_embedding, leads)[:, None]
        if own is None:
            cls = cls + self.from_embedding(latents.embedding)[:, None, None]
        return torch.cat([cls, grid], dim=2)
