"""The variational autoencoder repaired: few latents, and no way to the decoder but through them.

Lead context and attention across samples come before the latents, which are penalised; each latent
stands for an equal stretch of the window, and one alone for all of it. The decoder knows them and
the time of a sample, and nothing of the signal.
"""

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn

from finetune.anomaly.networks.vae import (
    BiLstmPair,
    LeadAttention,
    VaeOutput,
    drawn,
    statistics_head,
)
from finetune.anomaly.settings import ATTENTION_HEADS, VaeSettings
from lamae.errors import InputError
from lamae.model.layers import sincos_positions

_CONTEXT, _POSITIONS = 32, 32


class BottleneckVae(nn.Module):
    """The parts of `Vae`, with `bottleneck` latents for a window."""

    def __init__(self, settings: VaeSettings, leads: int) -> None:
        """Build with random weights."""
        super().__init__()
        assert settings.bottleneck is not None, "without it the network is a Vae"
        outer, inner = settings.hidden
        self.stretches = settings.bottleneck
        self.lead_attention = LeadAttention(_CONTEXT) if settings.lead_attention else None
        inputs = leads + (_CONTEXT if settings.lead_attention else 0)
        self.encoder = BiLstmPair(inputs, outer, inner)
        self.attend = (
            nn.MultiheadAttention(2 * inner, ATTENTION_HEADS, batch_first=True)
            if settings.sequence_attention
            else None
        )
        self.to_latent = statistics_head(2 * inner, settings.latent)
        self.decoder = BiLstmPair(settings.latent + _POSITIONS, inner, outer)
        self.to_signal = statistics_head(2 * outer, leads)

    def forward(
        self, signal: Float[Tensor, "b l t"], *, generator: torch.Generator | None = None
    ) -> VaeOutput:
        """Reconstruct windows; `generator` draws the latents, which are their means without it."""
        samples = signal.shape[-1]
        if samples % self.stretches:
            raise InputError(
                "window",
                value=f"{samples} samples",
                expected=f"a multiple of vae.bottleneck {self.stretches}",
                remedy="Change vae.bottleneck, preprocess.duration_s or sampling_rate.",
            )
        steps, of_lead, attention = rearrange(signal, "b l t -> b t l"), None, None
        if self.lead_attention is not None:
            context, of_lead = self.lead_attention(signal)
            steps = torch.cat([steps, context], dim=-1)
        states = self.encoder(steps)
        if self.attend is not None:
            found, weights = self.attend(states, states, states)
            states, attention = states + found, weights.mean(dim=1)
        pooled = reduce(states, "b (n s) d -> b n d", "mean", n=self.stretches)
        mean, log_variance = self.to_latent(pooled).chunk(2, dim=-1)
        expected, spread = self.decode(drawn(mean, log_variance, generator), samples).chunk(
            2, dim=1
        )
        return VaeOutput(expected, spread, mean, log_variance, attention, of_lead)

    def decode(self, latent: Float[Tensor, "b n d"], samples: int) -> Float[Tensor, "b stats t"]:
        """Return mean, then logarithm of the variance, of every lead from latents alone."""
        each = repeat(latent, "b n d -> b (n s) d", s=samples // self.stretches)
        time = sincos_positions(samples, _POSITIONS, device=latent.device)
        time = repeat(time, "t d -> b t d", b=len(latent))
        statistics = self.to_signal(self.decoder(torch.cat([each, time], dim=-1)))
        return rearrange(statistics, "b t l -> b l t")
