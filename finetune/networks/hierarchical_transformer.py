"""The hierarchical transformer, 3stageFormer (Tang et al., arXiv 2411.00755), and its ablations.

Six convolutions of each lead give features at three scales of time, and one transformer reads them
from the finest to the coarsest; from a scale to the next goes one summary token alone. Sizes, order
of layers and initial weights are those of the authors' code, which adds sine-cosine positions at
each scale anew and has no normalisation after the last layer. Left out are the 20 hand-crafted
features, age and sex that the authors join to the classifier's 64, to compare networks on signals
alone; the schedule is that of `finetune.training.fine_tuning`, where theirs is Noam's.

The leads are apart up to the transformer, and only there: its first projections mix the channels
of all leads in each token. So a channel that the gate weighs is no lead's, and the gate gives no
importance of leads.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from finetune.networks.channel_gate import ChannelGate
from finetune.networks.convolution import check_rows, mean_over_recorded, recorded_steps
from finetune.networks.differential_attention import DifferentialAttention, SoftmaxAttention
from finetune.networks.lead_convolutions import LeadConvolutions, Scale, scale_lengths
from finetune.networks.outputs import LogitLayer, Outputs
from finetune.networks.settings import HierarchicalTransformerSettings
from lamae.errors import InputError
from lamae.model.layers import sincos_positions
from lamae.model.recorded import WHOLE, Recorded

_DROPOUT = 0.1
_HEAD_WIDTH, _HEAD_DROPOUT = 64, 0.2


class PostNormLayer(nn.Module):
    """Attention and an MLP, each added to the tokens and then normalised (Vaswani et al. 2017)."""

    def __init__(self, settings: HierarchicalTransformerSettings, *, layer: int) -> None:
        """Build with random weights; `layer` counts from 0 over all stages."""
        super().__init__()
        width, hidden = settings.width, settings.hidden
        self.attention = (
            DifferentialAttention(width, settings.heads, layer=layer)
            if settings.attention == "differential"
            else SoftmaxAttention(width, settings.heads)
        )
        self.norm_attention = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(hidden, width)
        )
        self.norm_mlp = nn.LayerNorm(width)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(
        self, tokens: Float[Tensor, "b t d"], sees: Bool[Tensor, "b t"] | None
    ) -> Float[Tensor, "b t d"]:
        """Let tokens attend to one another; to none where `sees` is False."""
        tokens = self.norm_attention(tokens + self.dropout(self.attention(tokens, sees)))
        return self.norm_mlp(tokens + self.dropout(self.mlp(tokens)))


class HierarchicalTransformer(nn.Module):
    """Convolutions, stages of a transformer with one token between them, and a classifier."""

    def __init__(
        self,
        settings: HierarchicalTransformerSettings,
        *,
        leads: Sequence[str],
        samples: int,
        classes: int,
    ) -> None:
        """Build with random weights.

        Args:
            settings: sizes and switches.
            leads: names of the rows of a signal, in their order.
            samples: of a signal; the gate's layers are as wide as there are tokens.
            classes: how many logits there are.

        Raises InputError where a group of channels cannot be each lead's, or the samples do not
        make a token.
        """
        super().__init__()
        self.settings = settings
        self.leads = tuple(leads)
        grouped = settings.groups == "leads"
        if grouped and settings.width % len(self.leads):
            raise InputError(
                "hierarchical_transformer.width",
                value=settings.width,
                expected=f"a multiple of the {len(self.leads)} leads, {', '.join(self.leads)}",
                remedy="Change it, or give hierarchical_transformer.groups=one.",
            )
        width, tokens = settings.width, 1 + scale_lengths(samples)[-1]
        self.convolutions = LeadConvolutions(len(self.leads), width, grouped=grouped)
        self.cls = nn.Parameter(torch.empty(1, 1, width))
        self.layers = nn.ModuleList(
            PostNormLayer(settings, layer=layer) for layer in range(settings.depth)
        )
        self.dropout = nn.Dropout(_DROPOUT)
        self.classify = (
            ChannelGate(tokens, classes=classes)
            if settings.gate
            else _classifier(width, classes=classes)
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        recorded: Recorded = WHOLE,
    ) -> Outputs:
        """Classify; raises InputError for a signal of other leads or of too few samples."""
        check_rows(signal, self.leads)
        if recorded.present is not None:
            signal = signal.masked_fill(~recorded.present[..., None], 0.0)
        samples = recorded.samples if self.settings.padding == "ignore" else None
        scales = self.convolutions(signal, samples)[-self.settings.stages :]
        summary = self.cls.expand(len(signal), -1, -1)
        for stage, scale in enumerate(scales):
            tokens, summary = self._read(stage, scale, summary)
        return Outputs(self.classify(tokens if self.settings.gate else summary[:, 0]))

    def _read(
        self, stage: int, scale: Scale, summary: Float[Tensor, "b 1 d"]
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b 1 d"]]:
        """Return the tokens of a stage, zero behind the recorded ones, and what sums them up."""
        tokens = torch.cat([summary, rearrange(scale.features, "b d t -> b t d")], dim=1)
        tokens = self.dropout(tokens + _positions(tokens))
        recorded = None if scale.recorded is None else 1 + scale.recorded
        sees = None if recorded is None else recorded_steps(recorded, tokens.shape[1])
        depth = self.settings.depth // self.settings.stages
        for layer in self.layers[stage * depth : (stage + 1) * depth]:
            tokens = layer(tokens, sees)
        if sees is not None:
            tokens = tokens.masked_fill(~sees[..., None], 0.0)
        if self.settings.cls == "carried":
            return tokens, tokens[:, :1]
        return tokens, mean_over_recorded(tokens, recorded)[:, None]


def _positions(tokens: Float[Tensor, "b t d"]) -> Float[Tensor, "t d"]:
    """Return sine-cosine positions with the sine and cosine of a rate next to each other."""
    positions = sincos_positions(tokens.shape[1], tokens.shape[2], device=tokens.device)
    return rearrange(positions, "t (part rate) -> t (rate part)", part=2)


def _classifier(width: int, *, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, _HEAD_WIDTH),
        nn.ReLU(),
        nn.Dropout(_HEAD_DROPOUT),
        LogitLayer(_HEAD_WIDTH, classes),
    )
