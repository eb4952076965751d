"""LAMAE: the masked autoencoder. `forward` is the method: encode, decode, compare."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from lamae.config import Settings
from lamae.encoder import Encoder, EncoderSettings, Latents
from lamae.layers import Transformer, TransformerSettings, initialise, sincos_positions
from lamae.leads import LEADS, lead_number
from lamae.masking import hidden_patches


class DecoderSettings(TransformerSettings):
    """Size and reach of the decoder."""

    width: int = Field(256, gt=0)
    """Width of a token."""
    depth: int = Field(4, gt=0)
    """Blocks."""
    heads: int = Field(4, gt=0)
    """Attention heads."""
    attends: Literal["lead", "all"] = "lead"
    """Draw each lead from its own latents, as ST-MEM does, or from those of all leads."""


class AutoencoderSettings(Settings):
    """Encoder, decoder and target."""

    encoder: EncoderSettings = EncoderSettings()
    """The part that is kept."""
    decoder: DecoderSettings = DecoderSettings()
    """The part that is left behind after pretraining."""
    mask_ratio: float = Field(0.75, gt=0, lt=1)
    """Share of each lead's patches that the encoder does not see."""
    norm_target: bool = True
    """Compare patches after a z-score of each patch, as MAE's norm_pix_loss, or as they are."""


class Reconstruction(NamedTuple):
    """What the autoencoder makes of a batch."""

    loss: Float[Tensor, ""]
    """Mean squared error over the hidden patches of the leads that are present."""
    patches: Float[Tensor, "b l n p"]
    """Prediction in the units of the target, for every patch."""
    hidden: Bool[Tensor, "b l n"]
    """True where the encoder did not see the patch."""
    latents: Latents
    """What the encoder made of the visible patches."""


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
        self.lead_embedding = nn.Parameter(torch.randn(len(LEADS), width))
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
        *,
        visible: Int[Tensor, "b l v"],
        patches: int,
        present: Bool[Tensor, "b l"] | None,
    ) -> Float[Tensor, "b l n p"]:
        """Predict all patches of all leads."""
        tokens = self._place(latents, leads, visible, patches)
        b, l, t, _ = tokens.shape  # noqa: E741
        if self.settings.attends == "all":
            sees = None if present is None else repeat(present, "b l -> b (l t)", t=t)
            tokens = self.transformer(rearrange(tokens, "b l t d -> b (l t) d"), sees)
            tokens = rearrange(tokens, "b (l t) d -> b l t d", l=l)
        else:
            tokens = self.transformer(rearrange(tokens, "b l t d -> (b l) t d"))
            tokens = rearrange(tokens, "(b l) t d -> b l t d", b=b)
        return self.predict(self.norm(tokens[:, :, 1:]))

    def _place(
        self, latents: Latents, leads: Sequence[str], visible: Tensor, patches: int
    ) -> Float[Tensor, "b l t d"]:
        """Put the latents where their patches are, mask tokens elsewhere, CLS in front.

        The embedding of the whole recording enters through CLS, at zero weight to begin with:
        so pooling over leads is learnt in pretraining, and step 0 is the independent autoencoder.
        """
        tokens = self.project(latents.tokens)
        b, l, _, d = tokens.shape  # noqa: E741
        grid = repeat(self.mask_token, "d -> b l n d", b=b, l=l, n=patches).to(tokens.dtype)
        where = repeat(visible, "b l v -> b l v d", d=d)
        grid = grid.scatter(2, where, tokens[:, :, 1:])
        grid = grid + sincos_positions(patches, d, device=tokens.device)
        grid = grid + self.lead_embedding[[lead_number(x) for x in leads], None]
        cls = tokens[:, :, :1] + self.from_embedding(latents.embedding)[:, None, None]
        return torch.cat([cls, grid], dim=2)


class LAMAE(nn.Module):
    """Latent attention masked autoencoder (arXiv 2603.26475; settings from docs/design.md)."""

    def __init__(self, settings: AutoencoderSettings) -> None:
        """Build an autoencoder with random weights."""
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(settings.encoder)
        self.decoder = Decoder(settings.decoder, settings.encoder)

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        leads: Sequence[str],
        *,
        visible: Int[Tensor, "b l v"],
        present: Bool[Tensor, "b l"] | None = None,
    ) -> Reconstruction:
        """Reconstruct the hidden patches of `signal` from its visible ones."""
        latents = self.encoder(signal, leads, visible=visible, present=present)
        target = self.target(signal)
        patches = target.shape[2]
        predicted = self.decoder(latents, leads, visible=visible, patches=patches, present=present)
        hidden = hidden_patches(visible, patches)
        counted = hidden if present is None else hidden & present[..., None]
        error = (predicted.float() - target).square().mean(dim=-1)
        loss = (error * counted).sum() / counted.sum()
        return Reconstruction(loss, predicted, hidden, latents)

    def target(self, signal: Float[Tensor, "b l samples"]) -> Float[Tensor, "b l n p"]:
        """Return the patches that the decoder has to predict."""
        patches = self._patches(signal)
        if self.settings.norm_target:
            mean, scale = self._patch_statistics(patches)
            patches = (patches - mean) / scale
        return patches

    def signal_from(
        self, patches: Float[Tensor, "b l n p"], signal: Float[Tensor, "b l samples"]
    ) -> Float[Tensor, "b l samples"]:
        """Turn predicted patches into a signal.

        With normalised targets a patch lacks offset and scale; both are taken from `signal`.
        """
        if self.settings.norm_target:
            mean, scale = self._patch_statistics(self._patches(signal))
            patches = patches * scale + mean
        return rearrange(patches, "b l n p -> b l (n p)")

    def _patches(self, signal: Tensor) -> Tensor:
        return rearrange(signal, "b l (n p) -> b l n p", p=self.settings.encoder.patch_size)

    @staticmethod
    def _patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
        variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
        return mean, (variance + 1e-6).sqrt()
