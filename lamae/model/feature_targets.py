"""Features of the signal as targets of pretraining, beside its samples.

MaskFeat (Wei et al. 2022) predicts features of hidden patches rather than their samples; here they
are responses of fixed kernels, pooled within the patch. The same features of a whole lead are
predicted from the mean of the encoder's tokens of that lead, which is what a linear probe reads.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lamae.model.amplitudes import AMPLITUDES
from lamae.model.kernels import Kernels, over_windows
from lamae.model.settings import FeatureTargetSettings

_SMALLEST_DEVIATION = 1e-3


class Targets(NamedTuple):
    """z-scored features of a batch."""

    patches: Float[Tensor, "b l n f"]
    """Of each patch."""
    leads: Float[Tensor, "b l g"]
    """Of each lead; where the model knows the scale of recordings, amplitudes behind them."""


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
        wanted = targets.patches
        if where is not None:
            wanted = wanted.gather(2, where[..., None].expand(-1, -1, -1, wanted.shape[-1]))
        predicted = self.predict_patch(decoded).float()
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


def _mean_of_each(values: Tensor, counted: Tensor) -> Float[Tensor, " b"]:
    over = tuple(range(1, values.dim()))
    return (values * counted).sum(dim=over) / counted.sum(dim=over).clamp(min=1)
