"""LAMAE: the masked autoencoder. `forward` is the method: encode, decode, compare."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lamae.model.decoder import Decoded, Decoder
from lamae.model.encoder import Encoder, Latents
from lamae.model.layers import Transformer
from lamae.model.masking import Mask, counted_patches, hidden_patches, mean_by_patches
from lamae.model.objective.feature_targets import FeatureTargets
from lamae.model.objective.lead_alignment import misalignment
from lamae.model.objective.limb_algebra import limb_inconsistency
from lamae.model.recorded import WHOLE, Recorded
from lamae.model.settings import AutoencoderSettings


class Loss(NamedTuple):
    """Comparison of a reconstruction with the recording."""

    total: Float[Tensor, ""]
    """The number to minimise: `error`, and the penalties that the settings ask for."""
    error: Float[Tensor, ""]
    """Mean squared error over the hidden patches that count: recorded, of leads present."""
    hidden: Bool[Tensor, "b l n"]
    """True where the encoder did not see the patch."""


class Reconstruction(NamedTuple):
    """A batch as the autoencoder reconstructs it."""

    loss: Float[Tensor, ""]
    """The number to minimise: `error`, and the penalties that the settings ask for."""
    patches: Float[Tensor, "b l n p"]
    """Prediction in the units of the target, for every patch."""
    hidden: Bool[Tensor, "b l n"]
    """True where the encoder did not see the patch."""
    latents: Latents
    """Tokens and embedding of the visible patches."""
    error: Float[Tensor, ""]
    """Mean squared error over the hidden patches that count: recorded, of leads present."""


class LAMAE(nn.Module):
    """Latent attention masked autoencoder (arXiv 2603.26475; docs/explanation/lamae.md)."""

    def __init__(self, settings: AutoencoderSettings) -> None:
        """Build an autoencoder with random weights."""
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(settings.encoder)
        self.decoder = Decoder(settings.decoder, settings.encoder)
        self.features: FeatureTargets | None = None
        if settings.features.wanted:
            self.features = FeatureTargets(
                settings.features,
                window=settings.encoder.patch_size,
                encoder_width=settings.encoder.width,
                decoder_width=settings.decoder.width,
            )

    def checkpoint_activations(self) -> None:
        """Let backward compute each transformer block again: less memory, a third more work."""
        for module in self.modules():
            if isinstance(module, Transformer):
                module.recomputes = True

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        leads: Sequence[str],
        *,
        mask: Mask,
        recorded: Recorded = WHOLE,
        alignment_share: Float[Tensor, ""] | None = None,
    ) -> Reconstruction:
        """Reconstruct the hidden patches of `signal` from its visible ones.

        Args:
            signal: normalised by the model's preprocessor; whole patches.
            leads: canonical names of the rows of `signal`.
            mask: patches that the encoder sees, and those to decode.
            recorded: leads and patches that count; the others are absent or padding.
            alignment_share: share of alignment_weight at this step; all of it without.
        """
        latents = self.encoder(signal, leads, mask=mask, recorded=recorded)
        patches = signal.shape[-1] // self.settings.encoder.patch_size
        decoded = self.decoder(latents, leads, patches, mask=mask, recorded=recorded)
        loss = self.loss(
            signal,
            leads,
            latents,
            decoded,
            mask=mask,
            recorded=recorded,
            alignment_share=alignment_share,
        )
        return Reconstruction(loss.total, decoded.patches, loss.hidden, latents, loss.error)

    def loss(
        self,
        signal: Float[Tensor, "b l samples"],
        leads: Sequence[str],
        latents: Latents,
        decoded: Decoded,
        *,
        mask: Mask,
        recorded: Recorded = WHOLE,
        alignment_share: Float[Tensor, ""] | None = None,
    ) -> Loss:
        """Compare decoded patches with those of the signal; arguments are those of `forward`."""
        target = self.target(signal)
        hidden = hidden_patches(mask, leads=len(leads), patches=target.shape[2])
        counted = counted_patches(hidden, recorded, mask.decoded)
        difference = decoded.patches.float() - target
        squares = difference.square().mean(dim=-1)
        error = (squares * counted).sum() / counted.sum().clamp(min=1)
        penalties = mean_by_patches(
            self._alignment(latents, alignment_share)
            + self._inconsistency(difference, signal, leads, counted),
            counted,
        )
        if self.features is not None:
            scaled = self.encoder.scaled(signal, recorded)
            penalties = penalties + self.features.penalty(
                latents, decoded, scaled, mask=mask, recorded=recorded, counted=counted
            )
        return Loss(error + penalties, error, hidden)

    def _alignment(self, latents: Latents, share: Float[Tensor, ""] | None) -> Float[Tensor, " b"]:
        """Return for each recording what the alignment of its leads adds to the loss."""
        if self.settings.encoder.method != "alignment":
            return torch.zeros(len(latents.tokens), device=latents.tokens.device)
        aligned = self.settings.alignment_weight * misalignment(latents)
        return aligned if share is None else share * aligned

    def _inconsistency(
        self,
        difference: Float[Tensor, "b l n p"],
        signal: Float[Tensor, "b l samples"],
        leads: Sequence[str],
        counted: Bool[Tensor, "b l n"],
    ) -> Float[Tensor, " b"]:
        """Return for each recording what its departure from limb algebra adds to the loss."""
        settings = self.settings
        if not settings.einthoven_weight:
            return torch.zeros(len(signal), device=signal.device)
        if settings.norm_target:
            difference = difference * self._patch_statistics(self.patches(signal))[1]
        unlawful = limb_inconsistency(difference, leads, counted=counted)
        return settings.einthoven_weight * unlawful

    @torch.no_grad()
    def set_statistics(
        self, signal: Float[Tensor, "b l samples"], present: Bool[Tensor, "b l"] | None
    ) -> None:
        """Set the statistics that targets are normalised by, from some whole recordings."""
        if self.features is not None:
            self.features.set_statistics(self.encoder.scaled(signal, Recorded(present)), present)

    def patches(self, signal: Float[Tensor, "b l samples"]) -> Float[Tensor, "b l n p"]:
        """Cut a signal into patches."""
        return rearrange(signal, "b l (n p) -> b l n p", p=self.settings.encoder.patch_size)

    def target(self, signal: Float[Tensor, "b l samples"]) -> Float[Tensor, "b l n p"]:
        """Return the patches that the decoder has to predict."""
        return self.in_target_units(self.patches(signal), signal)

    def in_target_units(
        self, patches: Float[Tensor, "b l n p"], signal: Float[Tensor, "b l samples"]
    ) -> Float[Tensor, "b l n p"]:
        """Scale patches as the target of `signal` is scaled."""
        if self.settings.norm_target:
            mean, scale = self._patch_statistics(self.patches(signal))
            patches = (patches - mean) / scale
        return patches

    def signal_from(
        self, patches: Float[Tensor, "b l n p"], signal: Float[Tensor, "b l samples"]
    ) -> Float[Tensor, "b l samples"]:
        """Turn predicted patches into a signal.

        With normalised targets a patch lacks offset and scale; both are taken from `signal`.
        """
        if self.settings.norm_target:
            mean, scale = self._patch_statistics(self.patches(signal))
            patches = patches * scale + mean
        return rearrange(patches, "b l n p -> b l (n p)")

    @staticmethod
    def _patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
        variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
        return mean, (variance + 1e-6).sqrt()
