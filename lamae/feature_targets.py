"""Features of the signal as targets of pretraining, beside its samples.

MaskFeat (Wei et al. 2022) predicts features of hidden patches rather than their samples; here they
are responses of fixed kernels, pooled within the patch. The same features of a whole lead are
predicted from the mean of the encoder's tokens of that lead, which is what a linear probe reads.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from lamae.amplitudes import AMPLITUDES
from lamae.config import Settings
from lamae.kernels import Kernels, KernelSettings, over_windows

_SMALLEST_DEVIATION = 1e-3


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
    """Of each lead; where the model knows the scale of recordings, amplitudes behind them."""

    def of_leads(self, rows: Int[Tensor, "b s"]) -> "Targets":
        """Return the targets of some leads."""
        n, f = self.patches.shape[2:]
        patches = self.patches.gather(1, rows[..., None, None].expand(-1, -1, n, f))
        leads = self.leads.gather(1, rows[..., None].expand(-1, -1, self.leads.shape[-1]))
        return Targets(patches, leads)


class FeatureTargets(nn.Module):
    """Kernels, statistics of their features, and the linear layers that predict them."""

    def __init__(
        self, settings: FeatureTargetSettings, *, encoder_width: int, decoder_width: int
    ) -> None:
        """Build the layers; `set_statistics` must be called once before training."""
        super().__init__()
        self.settings = settings
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
    def set_statistics(
        self,
        signal: Float[Tensor, "b l samples"],
        amplitudes: Float[Tensor, "b l 5"],
        present: Bool[Tensor, "b l"] | None,
        *,
        window: int,
    ) -> None:
        """Set levels, means and deviations from some recordings, z-scored and whole."""
        self.kernels.set_levels(signal, present)
        shares = self.kernels(signal, window)
        leads = torch.cat([over_windows(shares, None), amplitudes], dim=-1)
        there = torch.ones(shares.shape[:2], dtype=torch.bool) if present is None else present
        self.patch_norm.set(shares[there].flatten(0, 1))
        self.lead_norm.set(leads[there])

    @torch.no_grad()
    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        amplitudes: Float[Tensor, "b l 5"],
        valid: Bool[Tensor, "b n"] | None,
        *,
        window: int,
    ) -> Targets:
        """Return the features of each patch and of each lead."""
        shares = self.kernels(signal, window)
        leads = torch.cat([over_windows(shares, valid), amplitudes], dim=-1)
        return Targets(self.patch_norm(shares), self.lead_norm(leads))

    def patch_error(
        self,
        decoded: Float[Tensor, "b l k d"],
        targets: Targets,
        *,
        where: Int[Tensor, "b l k"] | None,
        counted: Bool[Tensor, "b l k"],
    ) -> Float[Tensor, " b"]:
        """Return the mean squared error of each recording over the patches that count."""
        wanted = _at(targets.patches, where)
        predicted = self.predict_patch(decoded).float()
        squares = F.mse_loss(predicted, wanted, reduction="none").mean(dim=-1)
        return _mean_of_each(squares, counted)

    def token_error(
        self,
        tokens: Float[Tensor, "b l v d"],
        targets: Targets,
        *,
        visible: Int[Tensor, "b l v"],
        counted: Bool[Tensor, "b l v"],
    ) -> Float[Tensor, " b"]:
        """Return the mean squared error of each recording over the visible patches that count."""
        predicted = self.predict_token(tokens).float()
        wanted = _at(targets.patches, visible)
        squares = F.mse_loss(predicted, wanted, reduction="none").mean(dim=-1)
        return _mean_of_each(squares, counted)

    def lead_error(
        self,
        leads: Float[Tensor, "b l d"],
        targets: Targets,
        *,
        counted: Bool[Tensor, "b l"],
    ) -> Float[Tensor, " b"]:
        """Return the mean squared error of each recording over the leads that count."""
        predicted = self.predict_lead(leads).float()
        squares = F.mse_loss(predicted, targets.leads, reduction="none").mean(dim=-1)
        return _mean_of_each(squares, counted)


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


def _at(values: Tensor, where: Tensor | None) -> Tensor:
    """Take the patches of some numbers, or all."""
    if where is None:
        return values
    return values.gather(2, where[..., None].expand(-1, -1, -1, values.shape[-1]))


def _mean_of_each(values: Tensor, counted: Tensor) -> Float[Tensor, " b"]:
    over = tuple(range(1, values.dim()))
    return (values * counted).sum(dim=over) / counted.sum(dim=over).clamp(min=1)
