"""The encoder: each lead by itself, then latent attention across leads, then pooling over leads."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from lamae.errors import InputError
from lamae.layers import Transformer, TransformerSettings, initialise, sincos_positions
from lamae.leads import LEADS, lead_number


class EncoderSettings(TransformerSettings):
    """Size and parts of the encoder."""

    patch_size: int = Field(50, gt=0)
    """Samples in a patch."""
    width: int = Field(384, gt=0)
    """Width of a token."""
    depth: int = Field(12, gt=0)
    """Blocks that see one lead at a time, with weights shared by all leads."""
    heads: int = Field(6, gt=0)
    """Attention heads."""
    latent_depth: int = Field(2, ge=0)
    """Blocks of latent attention across leads; 0 is the independent-lead autoencoder."""
    stem: Literal["linear", "conv"] = "linear"
    """How a patch becomes a token: one linear layer, or convolutions inside the patch first."""
    lead_embedding: bool = False
    """Tell the encoder which lead it sees; without it the leads are a set."""


class Latents(NamedTuple):
    """What the encoder makes of a batch."""

    tokens: Float[Tensor, "b l t d"]
    """For each lead its CLS token, then its visible patches, after latent attention."""
    embedding: Float[Tensor, "b d"]
    """One vector for a recording, whatever the order of its leads."""
    lead_weights: Float[Tensor, "b l"]
    """Share of each lead in the embedding; they sum to one, and an absent lead has zero."""


class PatchEmbedding(nn.Module):
    """Turn each patch into a token, without a look at its neighbours."""

    def __init__(self, settings: EncoderSettings) -> None:
        """Build the stem."""
        super().__init__()
        self.patch_size = settings.patch_size
        channels = 16
        if settings.stem == "conv":
            self.stem: nn.Module = nn.Sequential(
                nn.Conv1d(1, channels, kernel_size=7, padding=3),
                nn.GELU(),
                nn.Conv1d(channels, channels, kernel_size=7, padding=3),
                nn.GELU(),
                nn.Flatten(),
            )
            self.project = nn.Linear(channels * self.patch_size, settings.width)
        else:
            self.stem = nn.Identity()
            self.project = nn.Linear(self.patch_size, settings.width)

    def forward(self, patches: Float[Tensor, "b l v p"]) -> Float[Tensor, "b l v d"]:
        """Embed each patch."""
        b, l, v, _ = patches.shape  # noqa: E741
        if isinstance(self.stem, nn.Identity):
            return self.project(patches)
        features = self.stem(rearrange(patches, "b l v p -> (b l v) 1 p"))
        return rearrange(self.project(features), "(b l v) d -> b l v d", b=b, l=l, v=v)


class LeadPooling(nn.Module):
    """Attention pooling with one learned query over a set of lead vectors (systems.md 1.6).

    a_l = softmax_l(q . W_k h_l / sqrt(d)), embedding = sum_l a_l W_v h_l.
    """

    def __init__(self, width: int) -> None:
        """Build query, key and value."""
        super().__init__()
        self.query = nn.Parameter(torch.randn(width))
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(
        self, leads: Float[Tensor, "b l d"], present: Bool[Tensor, "b l"] | None
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b l"]]:
        """Return the pooled vector and the weight of each lead."""
        scores = self.key(leads) @ self.query / leads.shape[-1] ** 0.5
        if present is not None:
            scores = scores.masked_fill(~present, float("-inf"))
        weights = scores.softmax(dim=-1)
        return torch.einsum("b l, b l d -> b d", weights, self.value(leads)), weights


class Encoder(nn.Module):
    """Per-lead transformer on visible patches, latent attention, pooling over leads."""

    def __init__(self, settings: EncoderSettings) -> None:
        """Build an encoder with random weights."""
        super().__init__()
        self.settings = settings
        width, heads = settings.width, settings.heads
        self.embed = PatchEmbedding(settings)
        self.cls = nn.Parameter(torch.randn(width))
        self.per_lead = Transformer(width=width, depth=settings.depth, heads=heads)
        self.norm = nn.LayerNorm(width)
        self.latent = Transformer(width=width, depth=settings.latent_depth, heads=heads)
        self.pool = LeadPooling(width)
        self.lead_embedding = (
            nn.Parameter(torch.randn(len(LEADS), width)) if settings.lead_embedding else None
        )
        self.apply(initialise)
        self.per_lead.attend_to_alike()
        self.latent.attend_to_alike()
        self.latent.start_as_identity()

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        leads: Sequence[str],
        *,
        visible: Int[Tensor, "b l v"] | None = None,
        present: Bool[Tensor, "b l"] | None = None,
    ) -> Latents:
        """Encode the visible patches of any leads in any order.

        Args:
            signal: normalised by the model's preprocessor; whole patches.
            leads: canonical names of the rows of `signal`.
            visible: numbers of the patches to encode; all without it.
            present: False for a lead that a recording lacks; all present without it.

        Raises InputError where the signal does not fit the leads or the patch size.
        """
        self._check(signal, leads)
        tokens = self._embed(signal, leads, visible)
        b, l, t, _ = tokens.shape  # noqa: E741
        tokens = self.per_lead(rearrange(tokens, "b l t d -> (b l) t d"))
        tokens = rearrange(self.norm(tokens), "(b l) t d -> b (l t) d", b=b)
        sees = None if present is None else repeat(present, "b l -> b (l t)", t=t)
        tokens = rearrange(self.latent(tokens, sees), "b (l t) d -> b l t d", l=l)
        embedding, lead_weights = self.pool(tokens[:, :, 0], present)
        return Latents(tokens, embedding, lead_weights)

    def _embed(
        self, signal: Tensor, leads: Sequence[str], visible: Tensor | None
    ) -> Float[Tensor, "b l t d"]:
        patches = rearrange(signal, "b l (n p) -> b l n p", p=self.settings.patch_size)
        b, l, n, p = patches.shape  # noqa: E741
        positions = sincos_positions(n, self.settings.width, device=signal.device)
        if visible is None:
            tokens = self.embed(patches) + positions
        else:
            patches = patches.gather(2, repeat(visible, "b l v -> b l v p", p=p))
            tokens = self.embed(patches) + positions[visible]
        if self.lead_embedding is not None:
            tokens = tokens + self.lead_embedding[[lead_number(x) for x in leads], None]
        cls = repeat(self.cls, "d -> b l 1 d", b=b, l=l)
        return torch.cat([cls, tokens], dim=2)

    def _check(self, signal: Tensor, leads: Sequence[str]) -> None:
        if signal.shape[1] != len(leads):
            raise InputError(
                "signal",
                value=f"{signal.shape[1]} rows",
                expected=f"one for each of {', '.join(leads)}",
                remedy="Name the leads of the rows, in their order.",
            )
        if signal.shape[2] % self.settings.patch_size:
            raise InputError(
                "signal",
                value=f"{signal.shape[2]} samples",
                expected=f"a multiple of patch_size {self.settings.patch_size}",
                remedy="Change duration_s or sampling_rate, or the patch size.",
            )
