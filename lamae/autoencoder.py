"""LAMAE: the masked autoencoder. `forward` is the method: encode, decode, compare."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from lamae.alignment import misalignment
from lamae.config import Settings
from lamae.decoder import Decoder, DecoderSettings
from lamae.encoder import Encoder, EncoderSettings, Latents
from lamae.feature_targets import FeatureTargets, FeatureTargetSettings
from lamae.limb_algebra import limb_inconsistency
from lamae.masking import MaskingSettings, counted_patches, hidden_patches, mean_by_patches


class AutoencoderSettings(Settings):
    """Encoder, decoder and target."""

    encoder: EncoderSettings = EncoderSettings()
    """The part that is kept."""
    decoder: DecoderSettings = DecoderSettings()
    """The part that is left behind after pretraining."""
    mask_ratio: float = Field(0.75, gt=0, lt=1)
    """Share of each lead's patches that the encoder does not see."""
    masking: MaskingSettings = MaskingSettings()
    """Kinds of masks, and how often each is drawn."""
    decode_share: float = Field(1.0, gt=0, le=1)
    """Share of the hidden patches that a training step decodes; validation decodes all."""
    norm_target: bool = True
    """Compare patches after a z-score of each patch, as MAE's norm_pix_loss, or as they are."""
    features: FeatureTargetSettings = FeatureTargetSettings()
    """Features of the signal to predict beside its samples."""
    alignment_weight: float = Field(2.0, ge=0)
    """Weight of the alignment of leads in the loss, with encoder.method alignment only.

    Default: MVMAE's. The term is a mean over the width, so at most 2 / width before it."""
    einthoven_weight: float = Field(0.0, ge=0)
    """Weight of the reconstruction's departure from Einthoven's and Goldberger's equations."""

    @model_validator(mode="after")
    def _consistent(self) -> "AutoencoderSettings":
        apart = self.encoder.keeps_leads_apart and self.decoder.attends == "lead"
        if self.masking.lead and apart:
            raise ValueError(
                f"masking.lead hides whole leads, of which encoder.method {self.encoder.method} "
                "with decoder.attends lead learns nothing: set masking.lead to 0, or attends to all"
            )
        if self.encoder.millivolts and not self.norm_target:
            raise ValueError("encoder.millivolts needs norm_target, which is free of scale")
        if self.features.wanted and self.encoder.patch_size % self.features.kernels.every:
            raise ValueError(
                f"features.kernels.every {self.features.kernels.every} must divide "
                f"encoder.patch_size {self.encoder.patch_size}"
            )
        return self


class Reconstruction(NamedTuple):
    """What the autoencoder makes of a batch."""

    loss: Float[Tensor, ""]
    """What is minimised: `error`, and the penalties that the settings ask for."""
    patches: Float[Tensor, "b l n p"]
    """Prediction in the units of the target, for every patch."""
    hidden: Bool[Tensor, "b l n"]
    """True where the encoder did not see the patch."""
    latents: Latents
    """What the encoder made of the visible patches."""
    error: Float[Tensor, ""]
    """Mean squared error over the hidden patches that count: recorded, of leads present."""


class LAMAE(nn.Module):
    """Latent attention masked autoencoder (arXiv 2603.26475; settings from docs/design.md)."""

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

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        leads: Sequence[str],
        *,
        visible: Int[Tensor, "b s v"],
        seen: Int[Tensor, "b s"] | None = None,
        present: Bool[Tensor, "b l"] | None = None,
        valid: Bool[Tensor, "b n"] | None = None,
        decoded: Int[Tensor, "b l k"] | None = None,
        alignment_share: Float[Tensor, ""] | None = None,
    ) -> Reconstruction:
        """Reconstruct the hidden patches of `signal` from its visible ones.

        Args:
            signal: normalised by the model's preprocessor; whole patches.
            leads: canonical names of the rows of `signal`.
            visible: numbers of the patches that the encoder sees, for each lead it sees.
            seen: rows of the leads that the encoder sees; all without it.
            present: False for a lead that a recording lacks; all present without it.
            valid: False for a patch of padding; all valid without it.
            decoded: numbers of the hidden patches to decode, for each lead; all without it.
            alignment_share: share of alignment_weight at this step; all of it without.
        """
        latents = self.encoder(
            signal, leads, visible=visible, seen=seen, present=present, valid=valid
        )
        target = self.target(signal)
        tokens = self.decoder(
            latents,
            leads,
            target.shape[2],
            visible=visible,
            seen=seen,
            present=present,
            valid=valid,
            decoded=decoded,
        )
        predicted = self.decoder.predict(tokens)
        if decoded is not None:
            where = repeat(decoded, "b l k -> b l k p", p=target.shape[-1])
            predicted = torch.zeros_like(target, dtype=predicted.dtype).scatter(2, where, predicted)
        hidden = hidden_patches(visible, target.shape[2], leads=len(leads), seen=seen)
        counted = counted_patches(hidden, present=present, valid=valid, decoded=decoded)
        difference = predicted.float() - target
        squares = difference.square().mean(dim=-1)
        error = (squares * counted).sum() / counted.sum().clamp(min=1)
        penalties = self._penalties(
            latents, difference, signal, leads, counted=counted, alignment_share=alignment_share
        )
        if self.features is not None:
            penalties = penalties + self.features.penalty(
                latents,
                tokens,
                self.encoder.scaled(signal, present, valid),
                visible=visible,
                seen=seen,
                present=present,
                valid=valid,
                decoded=decoded,
                counted=counted,
            )
        return Reconstruction(error + penalties, predicted, hidden, latents, error)

    @torch.no_grad()
    def set_statistics(
        self, signal: Float[Tensor, "b l samples"], present: Bool[Tensor, "b l"] | None
    ) -> None:
        """Set what the targets are normalised by, from some whole recordings."""
        if self.features is None:
            return
        self.features.set_statistics(self.encoder.scaled(signal, present, None), present)

    def _penalties(
        self,
        latents: Latents,
        difference: Float[Tensor, "b l n p"],
        signal: Float[Tensor, "b l samples"],
        leads: Sequence[str],
        *,
        counted: Bool[Tensor, "b l n"],
        alignment_share: Float[Tensor, ""] | None,
    ) -> Float[Tensor, ""]:
        """Return what the settings add to the error; zero by default."""
        settings = self.settings
        each = torch.zeros(len(signal), device=signal.device)
        if settings.encoder.method == "alignment":
            aligned = settings.alignment_weight * misalignment(latents)
            each = each + (aligned if alignment_share is None else alignment_share * aligned)
        if settings.einthoven_weight:
            if settings.norm_target:
                difference = difference * self._patch_statistics(self.patches(signal))[1]
            unlawful = limb_inconsistency(difference, leads, counted=counted)
            each = each + settings.einthoven_weight * unlawful
        return mean_by_patches(each, counted)

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
