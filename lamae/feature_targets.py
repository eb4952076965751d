"""Features of the signal as targets of pretraining, beside its samples.

MaskFeat (Wei et al. 2022) predicts features of hidden patches rather than their samples; here they
are responses of fixed kernels, pooled within the patch. The same features of a whole lead are
predicted from the mean of the encoder's tokens of that lead, which is what a linear probe reads,
and those of a visible patch from its own token.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from lamae.amplitudes import AMPLITUDES
from lamae.config import Settings
from lamae.encoder import Latents
from lamae.kernels import Kernels, KernelSettings, over_windows
from lamae.masking import mean_by_patches, valid_tokens
from lamae.pooling import mean_over_patches

_SMALLEST_DEVIATION = 1e-3

Scaled = tuple[Float[Tensor, "b l samples"], Float[Tensor, "b l 5"] | None]
"""Signals as patches see them, and amplitudes where the encoder knows them."""


class FeatureTargetSettings(Settings):
    """Features to predict, and how much they count."""

    kernels: KernelSettings = KernelSettings()
    """The features: shares of samples above levels of fixed kernels' responses."""
    patch_weight: float = Field(0.0, ge=0)
    """Weight in the loss of the features of hidden patches, predicted by the decoder."""
    token_weight: float = Field(0.0, ge=0)
    """Weight in the loss of the features of visible patches, predicted from their own tokens, so
    that means of tokens hold what untrained features would."""
    lead_weight: float = Field(0.0, ge=0)
    """Weight in the loss of the features of whole leads, predicted from the encoder's tokens."""

    @property
    def wanted(self) -> bool:
        """Whether any of them is predicted."""
        return max(self.patch_weight, self.token_weight, self.lead_weight) > 0


class Targets(NamedTuple):
    """z-scored features of a batch."""

    patches: Float[Tensor, "b l n f"]
    """Of each patch."""
    leads: Float[Tensor, "b l g"]
    """Of each lead; amplitudes stand behind them, zeros where the encoder does not know them."""

    def of_leads(self, rows: Int[Tensor, "b s"]) -> "Targets":
        """Return the targets of some leads."""
        n, f = self.patches.shape[2:]
        patches = self.patches.gather(1, rows[..., None, None].expand(-1, -1, n, f))
        leads = self.leads.gather(1, rows[..., None].expand(-1, -1, self.leads.shape[-1]))
        return Targets(patches, leads)


class FeatureTargets(nn.Module):
    """Kernels, statistics of their features, and the linear layers that predict them."""

    def __init__(
        self,
        settings: FeatureTargetSettings,
        *,
        window: int,
        encoder_width: int,
        decoder_width: int,
    ) -> None:
        """Build for patches of `window` samples; `set_statistics` is called before training."""
        super().__init__()
        self.settings = settings
        self.window = window
        self.kernels = Kernels(settings.kernels)
        count = settings.kernels.features
        self.patch_norm = FixedNorm(count)
        self.lead_norm = FixedNorm(count + AMPLITUDES)
        if settings.patch_weight:
            self.predict_patch = nn.Linear(decoder_width, count)
        if settings.token_weight:
            self.predict_token = nn.Linear(encoder_width, count)
        if settings.lead_weight:
            self.predict_lead = nn.Linear(encoder_width, count + AMPLITUDES)

    @torch.no_grad()
    def set_statistics(self, scaled: Scaled, present: Bool[Tensor, "b l"] | None) -> None:
        """Set levels, means and deviations from some recordings without padding."""
        self.kernels.set_levels(scaled[0], present)
        shares, leads = self._features(scaled, None)
        there = torch.ones(shares.shape[:2], dtype=torch.bool) if present is None else present
        self.patch_norm.set(shares[there].flatten(0, 1))
        self.lead_norm.set(leads[there])

    @torch.no_grad()
    def targets(self, scaled: Scaled, valid: Bool[Tensor, "b n"] | None) -> Targets:
        """Return the features of each patch and of each lead."""
        shares, leads = self._features(scaled, valid)
        return Targets(self.patch_norm(shares), self.lead_norm(leads))

    def penalty(
        self,
        latents: Latents,
        decoder_tokens: Float[Tensor, "b l k d"],
        scaled: Scaled,
        *,
        visible: Int[Tensor, "b s v"],
        seen: Int[Tensor, "b s"] | None,
        present: Bool[Tensor, "b l"] | None,
        valid: Bool[Tensor, "b n"] | None,
        decoded: Int[Tensor, "b l k"] | None,
        counted: Bool[Tensor, "b l n"],
    ) -> Float[Tensor, ""]:
        """Return what the features add to the loss.

        Args:
            latents: what the encoder made of the visible patches.
            decoder_tokens: for each patch, or each decoded one.
            scaled: whole recordings, from which the targets are made.
            visible: numbers of the patches that the encoder saw.
            seen: rows of the leads that it saw; all without it.
            present: False for a lead that a recording lacks.
            valid: False for a patch of padding.
            decoded: numbers of the patches that were decoded; all without it.
            counted: True for the decoded patches that enter the loss.
        """
        settings, targets = self.settings, self.targets(scaled, valid)
        errors = torch.zeros(len(visible), device=visible.device)
        if settings.patch_weight:
            counts = counted if decoded is None else counted.gather(2, decoded)
            predicted = self.predict_patch(decoder_tokens)
            found = _error_of_each(predicted, _at(targets.patches, decoded), counts)
            errors = errors + settings.patch_weight * found
        there = present
        if there is None:
            there = counted.new_ones(counted.shape[:2])
        if seen is not None:  # what follows is of the leads that the encoder saw
            there, targets = there.gather(1, seen), targets.of_leads(seen)
        if settings.token_weight:
            recorded = valid_tokens(visible, valid, leads=visible.shape[1])
            counts = there[..., None].expand(-1, -1, visible.shape[2])
            counts = counts if recorded is None else counts & recorded
            predicted = self.predict_token(latents.tokens[:, :, 1:])
            found = _error_of_each(predicted, _at(targets.patches, visible), counts)
            errors = errors + settings.token_weight * found
        if settings.lead_weight:
            predicted = self.predict_lead(mean_over_patches(latents))
            errors = errors + settings.lead_weight * _error_of_each(predicted, targets.leads, there)
        return mean_by_patches(errors, counted)

    def _features(self, scaled: Scaled, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        signal, amplitudes = scaled
        shares = self.kernels(signal, self.window)
        if amplitudes is None:
            amplitudes = signal.new_zeros(*signal.shape[:2], AMPLITUDES)
        return shares, torch.cat([over_windows(shares, valid), amplitudes], dim=-1)


class FixedNorm(nn.Module):
    """A z-score with statistics that are set once."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        """Begin with a z-score that changes nothing."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    @torch.no_grad()
    def set(self, rows: Float[Tensor, "rows width"]) -> None:
        """Take mean and deviation of some rows."""
        self.mean.copy_(rows.mean(dim=0))
        self.scale.copy_(rows.std(dim=0).clamp(min=_SMALLEST_DEVIATION))

    def forward(self, values: Float[Tensor, "*any width"]) -> Float[Tensor, "*any width"]:
        """Return z-scored values."""
        return (values - self.mean) / self.scale


def _at(values: Float[Tensor, "b l n f"], where: Tensor | None) -> Float[Tensor, "b l k f"]:
    """Take the patches of some numbers, or all."""
    if where is None:
        return values
    return values.gather(2, where[..., None].expand(-1, -1, -1, values.shape[-1]))


def _error_of_each(predicted: Tensor, target: Tensor, counted: Tensor) -> Float[Tensor, " b"]:
    """Return the mean squared error of each recording over what counts."""
    squares = F.mse_loss(predicted.float(), target, reduction="none").mean(dim=-1)
    over = tuple(range(1, squares.dim()))
    return (squares * counted).sum(dim=over) / counted.sum(dim=over).clamp(min=1)
