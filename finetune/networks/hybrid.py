"""LASAN with a foundation model: gated fusion of the two.

The paper (arXiv 2601.07124) does not state the gate's formula; the one here is proposed, after
gated multimodal units (Arevalo et al. 2017).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from finetune.encoders.other_encoder import AnyEncoder, leads_apart, present_rows
from finetune.networks.heads import pooled_width
from finetune.networks.lasan import LasanBranch, lasan_classifier
from finetune.networks.outputs import Outputs
from finetune.networks.settings import LasanSettings
from lamae.model.layers import initialise
from lamae.model.pooling import pool
from lamae.model.recorded import WHOLE, Recorded
from lamae.model.settings import Pooling


class Fused(NamedTuple):
    """Two views of a recording in one vector."""

    vector: Float[Tensor, "b d"]
    """gate * encoder + (1 - gate) * lasan."""
    gate: Float[Tensor, "b d"]
    """Share of the encoder in each feature, between 0 and 1."""


class GatedFusion(nn.Module):
    """u = LN(W f), v = LN(c), g = sigmoid(W_g [u; v] + b), z = g u + (1 - g) v."""

    def __init__(self, features: int, width: int) -> None:
        """Build for `features` of an encoder and a summary of `width`."""
        super().__init__()
        self.project = nn.Linear(features, width)
        self.norm_encoder = nn.LayerNorm(width)
        self.norm_lasan = nn.LayerNorm(width)
        self.gate = nn.Linear(2 * width, width)
        self.apply(initialise)

    def forward(
        self, features: Float[Tensor, "b features"], summary: Float[Tensor, "b d"]
    ) -> Fused:
        """Weigh the encoder's features against LASAN's summary, feature by feature."""
        encoder = self.norm_encoder(self.project(features))
        lasan = self.norm_lasan(summary)
        gate = self.gate(torch.cat([encoder, lasan], dim=1)).sigmoid()
        return Fused(gate * encoder + (1 - gate) * lasan, gate)


class HybridLasan(nn.Module):
    """An encoder and LASAN side by side on one signal, a gate between them, LASAN's classifier."""

    def __init__(
        self,
        encoder: AnyEncoder,
        settings: LasanSettings,
        *,
        leads: Sequence[str],
        classes: int,
        pooling: Pooling,
    ) -> None:
        """Join an encoder and a LASAN of random weights.

        Args:
            encoder: frozen or not, as it is given.
            settings: sizes of LASAN.
            leads: canonical names of the rows of a signal, in their order.
            classes: logits to give.
            pooling: how the encoder's tokens become one vector.
        """
        super().__init__()
        self.encoder = encoder
        self.leads = tuple(leads)
        self.pooling: Pooling = pooling
        self.branch = LasanBranch(settings, leads=leads)
        rows = leads_apart(encoder, leads)
        features = pooled_width(pooling, width=encoder.settings.width, leads=len(rows))
        self.fusion = GatedFusion(features, settings.width)
        self.classify = lasan_classifier(settings, classes=classes)

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        recorded: Recorded = WHOLE,
    ) -> Outputs:
        """Classify; the weights of leads are LASAN's.

        Raises InputError for a signal of other leads, or of broken patches.
        """
        latents = self.encoder(signal, self.leads, recorded=recorded)
        vector, lead_weights = self.branch(signal, recorded)
        rows = present_rows(self.encoder, recorded.present)
        fused = self.fusion(pool(latents, self.pooling, rows), vector)
        return Outputs(self.classify(fused.vector), lead_weights, fused.gate)
