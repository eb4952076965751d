"""The decoder: every patch, or some of the hidden ones, from the latents of the visible ones."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn

from lamae.ecg.leads import LEADS
from lamae.model.encoder import Latents
from lamae.model.layers import Transformer, attended, initialise, rows_of_leads, sincos_positions
from lamae.model.masking import Mask, valid_tokens
from lamae.model.recorded import WHOLE, Recorded
from lamae.model.settings import DecoderSettings, EncoderSettings


class Decoded(NamedTuple):
    """Patches that were decoded: all, or those that the mask names."""

    tokens: Float[Tensor, "b l k d"]
    """A token for each."""
    patches: Float[Tensor, "b l n p"]
    """Predictions in the units of the target; zeros for a patch that was not decoded."""


class Decoder(nn.Module):
    """Predict patches from the latents of the visible ones."""

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
        mask: Mask,
        recorded: Recorded = WHOLE,
    ) -> Decoded:
        """Decode the patches of each lead, or those that the mask names.

        Those that are neither visible nor decoded then cost nothing.
        """
        tokens = self._place(latents, leads, mask, patches)
        kept = None if mask.decoded is None else torch.cat([mask.visible, mask.decoded], dim=2)
        if kept is not None:
            where = repeat(kept, "b l k -> b l k d", d=tokens.shape[-1])
            tokens = torch.cat([tokens[:, :, :1], tokens[:, :, 1:].gather(2, where)], dim=2)
        valid = valid_tokens(kept, recorded.valid, leads=len(leads))
        if self.settings.attends == "all":
            sees = attended(valid, recorded.present, tokens=tokens.shape[2])
            tokens = self.transformer.all_leads(tokens, sees)
        else:
            sees = attended(valid, None, tokens=tokens.shape[2])
            tokens = self.transformer.each_lead(tokens, sees)
        first = 1 if mask.decoded is None else 1 + mask.visible.shape[2]
        tokens = self.norm(tokens[:, :, first:])
        predicted = self.predict(tokens)
        if mask.decoded is not None:
            where = repeat(mask.decoded, "b l k -> b l k p", p=predicted.shape[-1])
            grid = predicted.new_zeros(*predicted.shape[:2], patches, predicted.shape[-1])
            predicted = grid.scatter(2, where, predicted)
        return Decoded(tokens, predicted)

    def _place(
        self, latents: Latents, leads: Sequence[str], mask: Mask, patches: int
    ) -> Float[Tensor, "b l t d"]:
        """Put the latents where their patches are, mask tokens elsewhere, CLS in front.

        The embedding of the whole recording enters through CLS, at zero weight to begin with:
        so pooling over leads is learnt in pretraining, and step 0 is the independent autoencoder.
        Where leads are kept apart, that of the lead alone enters.
        """
        tokens = self.project(latents.tokens)
        b, s, _, d = tokens.shape
        grid = repeat(self.mask_token, "d -> b s n d", b=b, s=s, n=patches).to(tokens.dtype)
        where = repeat(mask.visible, "b s v -> b s v d", d=d)
        grid = grid.scatter(2, where, tokens[:, :, 1:])
        cls, own = tokens[:, :, :1], latents.lead_embeddings
        if own is not None:
            cls = cls + self.from_embedding(own)[:, :, None]
        if mask.seen is not None:
            shape = {"b": b, "l": len(leads)}
            unseen = repeat(self.mask_token, "d -> b l t d", t=patches + 1, **shape).to(cls.dtype)
            where = repeat(mask.seen, "b s -> b s t d", t=patches + 1, d=d)
            every = unseen.scatter(1, where, torch.cat([cls, grid], dim=2))
            cls, grid = every[:, :, :1], every[:, :, 1:]
        grid = grid + sincos_positions(patches, d, device=tokens.device, base=self.position_base)
        grid = grid + rows_of_leads(self.lead_embedding, leads)[:, None]
        if own is None:
            cls = cls + self.from_embedding(latents.embedding)[:, None, None]
        return torch.cat([cls, grid], dim=2)
