"""VAE-BiLSTM-MHA as released: a latent vector for each sample, and lead context added behind it.

Latents have more numbers than the window where they are wider than it has leads, and what the
decoder gets of the leads' attention passes by them: finetune/anomaly/networks/bottleneck.py repairs
both. To score, the mean of a latent is taken; the release draws one, so that its scores differ from
run to run.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from finetune.anomaly.settings import ATTENTION_HEADS, LEAD_HEADS, VaeSettings

_INPUT_DROPOUT, _HIDDEN_DROPOUT = 0.01, 0.1


class VaeOutput(NamedTuple):
    """Output of a variational autoencoder for windows."""

    mean: Float[Tensor, "b l samples"]
    """Most likely signal."""
    log_variance: Float[Tensor, "b l samples"]
    """Logarithm of the variance about it."""
    latent_mean: Float[Tensor, "b n d"]
    """Means of the latents."""
    latent_log_variance: Float[Tensor, "b n d"]
    """Logarithms of their variances."""
    attention: Float[Tensor, "b samples"] | None
    """Share of each sample in the attention across samples, which sums to one; None without it."""
    lead_attention: Float[Tensor, "b l samples"] | None
    """Share of each lead in the attention at each sample; None without it."""


class BiLstmPair(nn.Module):
    """Two bidirectional LSTM, one above the other."""

    def __init__(self, inputs: int, first: int, second: int) -> None:
        """Build for units of each direction."""
        super().__init__()
        self.first = nn.LSTM(inputs, first, batch_first=True, bidirectional=True)
        self.second = nn.LSTM(2 * first, second, batch_first=True, bidirectional=True)

    def forward(self, steps: Float[Tensor, "b t width"]) -> Float[Tensor, "b t both"]:
        """Return the states of the upper one."""
        states: Tensor = self.second(self.first(steps)[0])[0]
        return states


class LeadAttention(nn.Module):
    """Attention across the leads of each sample, averaged over leads."""

    def __init__(self, width: int) -> None:
        """Build for the width of what comes out."""
        super().__init__()
        self.embed = nn.Linear(1, width)
        self.attend = nn.MultiheadAttention(width, LEAD_HEADS, batch_first=True)

    def forward(
        self, signal: Float[Tensor, "b l t"]
    ) -> tuple[Float[Tensor, "b t width"], Float[Tensor, "b l t"]]:
        """Return the context of each sample, and the share of each lead in it."""
        leads = self.embed(rearrange(signal, "b l t -> (b t) l 1"))
        found, weights = self.attend(leads, leads, leads)
        of_lead = rearrange(weights.mean(dim=1), "(b t) l -> b l t", b=len(signal))
        return rearrange(found.mean(dim=1), "(b t) d -> b t d", b=len(signal)), of_lead


def statistics_head(inputs: int, outputs: int) -> nn.Sequential:
    """Return layers that give `outputs` means and as many logarithms of variances."""
    half = inputs // 2
    return nn.Sequential(
        nn.Linear(inputs, half),
        nn.PReLU(),
        nn.Dropout(_HIDDEN_DROPOUT),
        nn.Linear(half, 2 * outputs),
    )


def drawn(
    mean: Tensor, log_variance: Tensor, generator: torch.Generator | None
) -> Float[Tensor, "b n d"]:
    """Draw latents, or return their means where nothing draws."""
    if generator is None:
        return mean
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + noise * (log_variance / 2).exp()


class Vae(nn.Module):
    """VAE-BiLSTM-MHA; without either attention VAE-BiLSTM."""

    def __init__(self, settings: VaeSettings, leads: int) -> None:
        """Build with random weights."""
        super().__init__()
        outer, inner = settings.hidden
        latent = settings.latent
        self.dropout = nn.Dropout(_INPUT_DROPOUT)  # named noise in the release
        self.encoder = BiLstmPair(leads, outer, inner)
        self.to_latent = statistics_head(2 * inner, latent)
        self.lead_attention = LeadAttention(latent) if settings.lead_attention else None
        self.query = nn.Linear(leads, latent) if settings.sequence_attention else None
        self.attend = (
            nn.MultiheadAttention(latent, ATTENTION_HEADS, batch_first=True)
            if settings.sequence_attention
            else None
        )
        self.decoder = BiLstmPair(latent, inner, outer)
        self.to_signal = statistics_head(2 * outer, leads)

    def forward(
        self, signal: Float[Tensor, "b l t"], *, generator: torch.Generator | None = None
    ) -> VaeOutput:
        """Reconstruct windows; `generator` draws the latents, which are their means without it."""
        steps = rearrange(signal, "b l t -> b t l")
        mean, log_variance = self.to_latent(self.encoder(self.dropout(steps))).chunk(2, dim=-1)
        latent, of_lead, attention = drawn(mean, log_variance, generator), None, None
        if self.lead_attention is not None:
            context, of_lead = self.lead_attention(signal)
            latent = latent + context
        if self.query is not None and self.attend is not None:
            query = self.query(steps)
            latent, weights = self.attend(query, query, latent)
            attention = weights.mean(dim=1)
        statistics = rearrange(self.to_signal(self.decoder(latent)), "b t l -> b l t")
        expected, spread = statistics.chunk(2, dim=1)
        return VaeOutput(expected, spread, mean, log_variance, attention, of_lead)
