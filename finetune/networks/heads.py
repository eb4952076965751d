"""Heads: from what an encoder makes of a recording to logits."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from timm.layers.mlp import Mlp
from torch import Tensor, nn

from finetune.encoders.other_encoder import AnyEncoder, OtherEncoder, present_rows
from finetune.networks.outputs import LogitLayer, Outputs
from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.model.encoder import Latents
from lamae.model.layers import initialise, rows_of_leads
from lamae.model.masking import Mask
from lamae.model.pooling import pool
from lamae.model.recorded import WHOLE, Recorded
from lamae.model.settings import Pooling


@runtime_checkable
class Head(Protocol):
    """Module that turns latents into outputs."""

    def __call__(self, latents: Latents, present: Bool[Tensor, "b l"] | None) -> Outputs:
        """Classify; an absent lead counts for nothing."""
        ...


class EncoderClassifier(nn.Module):
    """An encoder with a head."""

    def __init__(self, encoder: AnyEncoder, head: Head, *, leads: Sequence[str]) -> None:
        """Join the two; `leads` names the rows of a signal, in their order."""
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.leads = tuple(leads)

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        recorded: Recorded = WHOLE,
        *,
        mask: Mask | None = None,
    ) -> Outputs:
        """Classify what the encoder sees, which is everything without a mask.

        Raises InputError for a signal of other leads, or of broken patches.
        """
        return self.classify(self.encode(signal, recorded, mask=mask), recorded)

    def encode(
        self,
        signal: Float[Tensor, "b l samples"],
        recorded: Recorded,
        *,
        mask: Mask | None = None,
    ) -> Latents:
        """Return the latents that `classify` takes."""
        shown = {} if mask is None else {"mask": mask}
        latents: Latents = self.encoder(signal, self.leads, recorded=recorded, **shown)
        return latents

    def classify(self, latents: Latents, recorded: Recorded) -> Outputs:
        """Return the outputs for latents of `encode`."""
        found = self.head(latents, present_rows(self.encoder, recorded.present))
        knows_leads = not isinstance(self.encoder, OtherEncoder)
        return found if knows_leads else found._replace(lead_weights=None)


class LinearHead(nn.Module):
    """Pooling, a fixed standardisation of each feature, and one linear layer.

    There is no layer norm before the linear layer: so a fitted probe is such a head exactly, and
    fine-tuning can start where the probe ended (Kumar et al. 2022).
    """

    mean: Tensor
    """Taken from each feature; 0 unless a probe gave it."""
    scale: Tensor
    """Each feature is divided by it; 1 unless a probe gave it."""

    def __init__(self, features: int, *, classes: int, pooling: Pooling) -> None:
        """Build with small random weights; `features` as lamae.model.pooling.pooled_width says."""
        super().__init__()
        self.pooling: Pooling = pooling
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.linear = LogitLayer(features, classes)
        nn.init.trunc_normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, latents: Latents, present: Bool[Tensor, "b l"] | None) -> Outputs:
        """Classify; leads have weights where the encoder's own attention pools them."""
        features = pool(latents, self.pooling, present)
        weights = latents.lead_weights if self.pooling == "attention" else None
        return Outputs(self.linear((features - self.mean) / self.scale), weights)

    @torch.no_grad()
    def start_from(
        self,
        *,
        weight: Float[np.ndarray, "classes features"],
        bias: Float[np.ndarray, " classes"],
        mean: Float[np.ndarray, " features"],
        scale: Float[np.ndarray, " features"],
    ) -> None:
        """Become a fitted probe; raises InputError where it has other features or classes."""
        if weight.shape != tuple(self.linear.weight.shape):
            raise InputError(
                "probe",
                value=f"{weight.shape} classes and features",
                expected=f"{tuple(self.linear.weight.shape)}",
                remedy="Fit the probe on the same pooling of the same leads.",
            )
        for ours, theirs in (
            (self.linear.weight, weight),
            (self.linear.bias, bias),
            (self.mean, mean),
            (self.scale, scale),
        ):
            ours.copy_(torch.as_tensor(theirs))


class AttentionHead(nn.Module):
    """One learned query over all tokens of all leads, as in V-JEPA (Bardes et al. 2024).

    A cross-attention block, q = query + attention, q + MLP(q), and a linear layer. The tokens are
    told the name of their lead first, since the encoder may show leads as a set; those of an
    encoder that does not tell leads apart have no such name.
    """

    def __init__(self, width: int, *, heads: int, leads: Sequence[str], classes: int) -> None:
        """Build for tokens of `width`, a multiple of `heads`, of `leads` in this order.

        Without leads, all tokens are in one row.
        """
        super().__init__()
        self.heads = heads
        self.leads = tuple(leads)
        self.norm = nn.LayerNorm(width)
        names = torch.randn(len(LEADS), width) * 0.02
        self.lead_embedding = nn.Parameter(names) if leads else None
        self.query = nn.Parameter(torch.randn(width))
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.project = nn.Linear(width, width)
        self.norm_query = nn.LayerNorm(width)
        self.mlp = Mlp(width, 4 * width)
        self.linear = LogitLayer(width, classes)
        self.apply(initialise)

    def forward(self, latents: Latents, present: Bool[Tensor, "b l"] | None) -> Outputs:
        """Classify; the weight of a lead is its share of the attention, a mean over heads."""
        tokens = latents.tokens
        leads, width = tokens.shape[1], tokens.shape[3]
        tokens = self.norm(tokens)
        if self.lead_embedding is not None:
            tokens = tokens + rows_of_leads(self.lead_embedding, self.leads)[:, None]
        tokens = rearrange(tokens, "b l t d -> b (l t) d")
        key = rearrange(self.key(tokens), "b n (h d) -> b h n d", h=self.heads)
        value = rearrange(self.value(tokens), "b n (h d) -> b h n d", h=self.heads)
        query = rearrange(self.query, "(h d) -> h d", h=self.heads)
        scores = torch.einsum("h d, b h n d -> b h n", query, key) / (width / self.heads) ** 0.5
        for ignored in _ignored(latents, present):
            scores = scores.masked_fill(rearrange(ignored, "b l t -> b 1 (l t)"), float("-inf"))
        weights = scores.softmax(dim=-1)
        read = rearrange(
            torch.einsum("b h n, b h n d -> b h d", weights, value), "b h d -> b (h d)"
        )
        vector = self.query + self.project(read)
        vector = vector + self.mlp(self.norm_query(vector))
        shares = reduce(weights, "b h (l t) -> b h l", "sum", l=leads).mean(dim=1)
        return Outputs(self.linear(vector), shares)


def _ignored(latents: Latents, present: Tensor | None) -> list[Bool[Tensor, "b l t"]]:
    """Return what to leave out of attention: tokens of padding, and those of absent leads."""
    ignored = []
    if latents.valid is not None:
        ignored.append(~latents.valid)
    if present is not None:
        ignored.append(~present[..., None].expand(latents.tokens.shape[:3]))
    return ignored
