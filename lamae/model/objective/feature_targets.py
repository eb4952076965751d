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
from torch import Tensor, nn

from lamae.model.decoder import Decoded
from lamae.model.encoder import Latents
from lamae.model.kernels import Kernels, over_windows
from lamae.model.masking import Mask, mean_by_patches, valid_tokens
from lamae.model.pooling import mean_over_patches
from lamae.model.recorded import Recorded
from lamae.model.settings import AMPLITUDES, FeatureTargetSettings

_SMALLEST_DEVIATION = 1e-3

Scaled = tuple[Float[Tensor, "b l samples"], Float[Tensor, "b l 5"] | None]
"""Signals as patches see them, and amplitudes where the encoder knows them."""


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
        decoded: Decoded,
        scaled: Scaled,
        *,
        mask: Mask,
        recorded: Recorded,
        counted: Bool[Tensor, "b l n"],
    ) -> Float[Tensor, ""]:
        """Return the share of the features in the loss.

        Args:
            latents: of the visible patches.
            decoded: tokens of each patch, or of each that the mask names.
            scaled: whole recordings, from which the targets are made.
            mask: patches that the encoder saw, and those that were decoded.
            recorded: leads and patches of the recordings.
            counted: True for the decoded patches that enter the loss.
        """
        settings, targets = self.settings, self.targets(scaled, recorded.valid)
        errors = torch.zeros(len(counted), device=counted.device)
        if settings.patch_weight:
            counts = counted if mask.decoded is None else counted.gather(2, mask.decoded)
            predicted = self.predict_patch(decoded.tokens)
            found = _error_of_each(predicted, _at(targets.patches, mask.decoded), counts)
            errors = errors + settings.patch_weight * found
        present = recorded.present
        if present is None:
            present = counted.new_ones(counted.shape[:2])
        if mask.seen is not None:  # what follows is of the leads that the encoder saw
            present, targets = present.gather(1, mask.seen), targets.of_leads(mask.seen)
        if settings.token_weight:
            visible = mask.visible
            valid = valid_tokens(visible, recorded.valid, leads=visible.shape[1])
            counts = present[..., None].expand(-1, -1, visible.shape[2])
            counts = counts if valid is None else counts & valid
            predicted = self.predict_token(latents.tokens[:, :, 1:])
            found = _error_of_each(predicted, _at(targets.patches, visible), counts)
            errors = errors + settings.token_weight * found
        if settings.lead_weight:
            predicted = self.predict_lead(mean_over_patches(latents))
            found = _error_of_each(predicted, targets.leads, present)
            errors = errors + settings.lead_weight * found
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
