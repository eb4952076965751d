"""LASAN, lead-aware spatial attention networks (Sigfstead et al., arXiv 2601.07124).

Each lead goes through one temporal CNN, is told which lead it is, sees the other leads in a
transformer, and counts by an importance that sums to one over leads. No code is public. The
summaries of the paper state: four blocks of 32, 64, 128 and 256 channels with kernel 15 and a
max-pool of stride 2, shared by all leads; a learnt embedding of 256 for each lead; a transformer
of 3 layers and 4 heads; a single-head attention whose weights sum to one; an MLP 256-128-classes.
What they do not state is marked "proposed" here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from finetune.networks.convolution import Convolution, check_rows, mean_over_recorded
from finetune.networks.outputs import LogitLayer, Outputs
from finetune.networks.settings import LasanSettings
from lamae.ecg.leads import LEADS
from lamae.model.encoder import LeadPooling
from lamae.model.layers import initialise, rows_of_leads
from lamae.model.recorded import WHOLE, Recorded


class LeadSummary(NamedTuple):
    """One vector for a recording, and how much of it each lead makes up."""

    vector: Float[Tensor, "b d"]
    """Sum over leads of value times importance."""
    lead_weights: Float[Tensor, "b l"]
    """Importance of each lead; they sum to one, and an absent lead has zero."""


class TemporalCnn(nn.Module):
    """Turn one lead into one vector: blocks of convolution, then the mean over time.

    Proposed: in a block the order convolution, batch normalisation, ReLU, max-pool, dropout, and
    the mean at the end.
    """

    def __init__(self, settings: LasanSettings) -> None:
        """Build the blocks."""
        super().__init__()
        inputs = (1, *settings.channels[:-1])
        self.blocks = nn.ModuleList(
            Convolution(before, after, kernel_size=settings.kernel_size)
            for before, after in zip(inputs, settings.channels, strict=True)
        )
        self.dropout = nn.Dropout(settings.dropout)

    def forward(
        self, signal: Float[Tensor, "r samples"], recorded: Int[Tensor, " r"] | None
    ) -> Float[Tensor, "r d"]:
        """Embed r leads; `recorded` counts the samples of each that are no padding."""
        features = signal[:, None]
        for block in self.blocks:
            features = self.dropout(F.max_pool1d(block(features, recorded), 2))
            if recorded is not None:
                recorded = (recorded // 2).clamp(min=1)
        return mean_over_recorded(rearrange(features, "r d t -> r t d"), recorded)


class LeadAttention(nn.Module):
    """From one vector for each lead to one for the recording: LASAN behind its CNN.

    Proposed: the embedding of a lead is added; layers are pre-norm, with a hidden width of four
    times theirs; a_l = softmax_l(q . W_k h_l / sqrt(d)), c = sum_l a_l W_v h_l. There is an
    embedding for each of the twelve leads, so that any of them can be given, in any order.
    """

    def __init__(self, settings: LasanSettings) -> None:
        """Build with random weights."""
        super().__init__()
        width, dropout = settings.width, settings.dropout
        self.lead_embedding = nn.Parameter(torch.randn(len(LEADS), width) * 0.02)
        self.layers = nn.ModuleList(
            Block(
                width,
                settings.heads,
                mlp_ratio=4.0,
                qkv_bias=True,
                proj_drop=dropout,
                attn_drop=dropout,
            )
            for _ in range(settings.depth)
        )
        self.importance = LeadPooling(width)
        self.apply(initialise)

    def forward(
        self,
        vectors: Float[Tensor, "b l d"],
        leads: Sequence[str],
        present: Bool[Tensor, "b l"] | None,
    ) -> LeadSummary:
        """Summarise; an absent lead is attended to by none and counts for nothing."""
        tokens = vectors + rows_of_leads(self.lead_embedding, leads)
        mask = None if present is None else present[:, None, None, :]
        for layer in self.layers:
            tokens = layer(tokens, attn_mask=mask)
        return LeadSummary(*self.importance(tokens, present))


class LasanBranch(nn.Module):
    """LASAN without its classifier: from a signal to a summary."""

    def __init__(self, settings: LasanSettings, *, leads: Sequence[str]) -> None:
        """Build with random weights; `leads` names the rows of a signal, in their order."""
        super().__init__()
        self.leads = tuple(leads)
        self.temporal = TemporalCnn(settings)
        self.attention = LeadAttention(settings)

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        recorded: Recorded,
    ) -> LeadSummary:
        """Summarise; absent leads stay out of the CNN, whose statistics they would shift.

        Raises InputError for a signal of other leads.
        """
        check_rows(signal, self.leads)
        present, samples = recorded.present, recorded.samples
        if samples is not None:
            samples = repeat(samples.clamp(min=1), "b -> b l", l=len(self.leads))
        is_graph = torch.compiler.is_exporting()  # of fixed shapes, whose statistics are fixed too
        if present is None or is_graph:
            rows = rearrange(signal, "b l n -> (b l) n")
            vectors = self.temporal(rows, None if samples is None else samples.flatten())
            vectors = rearrange(vectors, "(b l) d -> b l d", b=len(signal))
            if present is not None:
                vectors = vectors.masked_fill(~present[..., None], 0.0)
        else:
            found = self.temporal(signal[present], None if samples is None else samples[present])
            vectors = found.new_zeros((*present.shape, found.shape[1]))
            vectors[present] = found
        return self.attention(vectors, self.leads, present)


class Lasan(nn.Module):
    """LASAN by itself: a summary of the recording, and an MLP on it."""

    def __init__(self, settings: LasanSettings, *, leads: Sequence[str], classes: int) -> None:
        """Build with random weights; `leads` names the rows of a signal, in their order."""
        super().__init__()
        self.branch = LasanBranch(settings, leads=leads)
        self.classify = lasan_classifier(settings, classes=classes)

    def summarise(
        self,
        signal: Float[Tensor, "b l samples"],
        recorded: Recorded = WHOLE,
    ) -> LeadSummary:
        """Return the vector that the classifier reads, and the importance of each lead."""
        return self.branch(signal, recorded)

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        recorded: Recorded = WHOLE,
    ) -> Outputs:
        """Classify; raises InputError for a signal of other leads."""
        vector, lead_weights = self.summarise(signal, recorded)
        return Outputs(self.classify(vector), lead_weights)


def lasan_classifier(settings: LasanSettings, *, classes: int) -> nn.Sequential:
    """Build the MLP 256-128-classes; its ReLU and dropout are proposed."""
    return nn.Sequential(
        nn.Linear(settings.width, settings.hidden),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        LogitLayer(settings.hidden, classes),
    )
