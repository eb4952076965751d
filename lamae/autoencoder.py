"""LAMAE: the masked autoencoder. `forward` is the method: encode, decode, compare."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from lamae.alignment import misalignment
from lamae.amplitudes import AMPLITUDES
from lamae.config import Settings
from lamae.encoder import Encoder, EncoderSettings, Latents
from lamae.feature_targets import FeatureTargets, FeatureTargetSettings
from lamae.layers import (
    Transformer,
    TransformerSettings,
    attended,
    initialise,
    rows_of_leads,
    sincos_positions,
)
from lamae.leads import LEADS
from lamae.limb_algebra import limb_inconsistency
from lamae.masking import MaskingSettings, counted_patches, hidden_patches, valid_tokens
from lamae.pooling import mean_over_patches


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
        grid = grid + sincos_positions(
            patches, d, device=tokens.device, base=self.position_base
        )
        grid = grid + rows_of_leads(self.lead_embedding, leads)[:, None]
        if own is None:
            cls = cls + self.from_embedding(latents.embedding)[:, None, None]
        return torch.cat([cls, grid], dim=2)


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
            errors = self._feature_errors(
                latents, tokens, signal, visible, seen, present, valid, decoded, counted=counted
            )
            penalties = penalties + _by_patches(errors, counted)
        return Reconstruction(error + penalties, predicted, hidden, latents, error)

    def _feature_errors(
        self,
        latents: Latents,
        tokens: Float[Tensor, "b l k d"],
        signal: Float[Tensor, "b l samples"],
        visible: Tensor,
        seen: Tensor | None,
        present: Tensor | None,
        valid: Tensor | None,
        decoded: Tensor | None,
        *,
        counted: Bool[Tensor, "b l n"],
    ) -> Float[Tensor, " b"]:
        """Return for each recording what its features add to the loss."""
        features = self.features
        assert features is not None
        settings = features.settings
        scaled, amplitudes = self.encoder.scaled(signal, present, valid)
        if amplitudes is None:
            amplitudes = signal.new_zeros(*signal.shape[:2], AMPLITUDES)
        targets = features(scaled, amplitudes, valid, window=self.settings.encoder.patch_size)
        errors = torch.zeros(len(signal), device=signal.device)
        if settings.patch_weight:
            counts = counted if decoded is None else counted.gather(2, decoded)
            found = features.patch_error(tokens, targets, where=decoded, counted=counts)
            errors = errors + settings.patch_weight * found
        there = present
        if there is None:
            there = torch.ones(signal.shape[:2], dtype=torch.bool, device=signal.device)
        if seen is not None:  # what follows is of the leads that the encoder was shown
            there = there.gather(1, seen)
            targets = targets.of_leads(seen)
        if settings.token_weight:
            recorded = valid_tokens(visible, valid, leads=visible.shape[1])
            counts = there[..., None].expand(-1, -1, visible.shape[2])
            counts = counts if recorded is None else counts & recorded
            found = features.token_error(
                latents.tokens[:, :, 1:], targets, visible=visible, counted=counts
            )
            errors = errors + settings.token_weight * found
        if settings.lead_weight:
            found = features.lead_error(mean_over_patches(latents), targets, counted=there)
            errors = errors + settings.lead_weight * found
        return errors

    @torch.no_grad()
    def set_statistics(
        self, signal: Float[Tensor, "b l samples"], present: Bool[Tensor, "b l"] | None
    ) -> None:
        """Set what the targets are normalised by, from some whole recordings."""
        if self.features is None:
            return
        scaled, amplitudes = self.encoder.scaled(signal, present, None)
        if amplitudes is None:
            amplitudes = signal.new_zeros(*signal.shape[:2], AMPLITUDES)
        self.features.set_statistics(
            scaled, amplitudes, present, window=self.settings.encoder.patch_size
        )

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
        return _by_patches(each, counted)

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


def _by_patches(
    each: Float[Tensor, " b"], counted: Bool[Tensor, "b l n"]
) -> Float[Tensor, ""]:
    """Return the mean in which a recording counts by its patches, so that parts make up a batch."""
    return (each * counted.sum(dim=(1, 2)) / counted.sum().clamp(min=1)).sum()
