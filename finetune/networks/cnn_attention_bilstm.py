"""CNN-Attention-BiLSTM (Thota et al., arXiv 2511.08650), as released and without its shortcut.

Sizes, order of layers, initial weights and padding are those of the authors' Keras code, and the
counts of parameters are the paper's. The code pads recordings of 6 to 60 s to one length and then
averages over all of it, so it can read a recording's length off the padding, as a shortcut to its
source; `padding="ignore"` leaves the padding out of every layer.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from finetune.networks.convolution import (
    Convolution,
    check_rows,
    mean_over_recorded,
    recorded_steps,
    steps_left,
)
from finetune.networks.outputs import LogitLayer, Outputs
from finetune.networks.settings import CnnAttentionBilstmSettings
from lamae.model.recorded import WHOLE, Recorded

L2 = 1e-3
"""Keras adds L2 times the sum of squares to the loss; torch.optim.Adam does so, to the last
gradient, with weight_decay 2 * L2 on the same parameters."""

_KERNEL_SIZE = 15
_CHANNELS = (32, 64, 128)
_BLOCK_DROPOUTS = (0.2, 0.3, 0.3)
_BATCH_NORM_EPS = 1e-3
_TRUNCATED_SD = 0.87962566
"""Standard deviation of a normal variable cut at two, by which Keras divides."""


class BiLstm(nn.Module):
    """An LSTM in both directions with one vector of biases, as Keras has it; torch has two.

    The biases are the last column of the input weights, which a constant input of 1 meets.
    """

    def __init__(self, width: int, units: int) -> None:
        """Build with Keras' initial weights: a forget gate that starts open."""
        super().__init__()
        self.lstm = nn.LSTM(width + 1, units, bias=False, bidirectional=True, batch_first=True)
        for name, weight in self.lstm.named_parameters():
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(weight)
                continue
            with torch.no_grad():
                nn.init.xavier_uniform_(weight[:, :-1])
                weight[:, -1] = 0.0
                weight[units : 2 * units, -1] = 1.0  # gates are input, forget, cell, output

    def forward(
        self, steps: Float[Tensor, "b t width"], recorded: Int[Tensor, " b"] | None
    ) -> Float[Tensor, "b t both"]:
        """Return the states of both directions at each step, zero behind the recorded ones."""
        steps = F.pad(steps, (0, 1), value=1.0)
        if recorded is None:
            return self.lstm(steps)[0]
        if torch.compiler.is_exporting():  # to a graph, which knows no packed sequences
            return self._each_way(steps, recorded)
        packed = pack_padded_sequence(steps, recorded.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=steps.shape[1]
        )
        return states

    def _each_way(
        self, steps: Float[Tensor, "b t _"], recorded: Int[Tensor, " b"]
    ) -> Float[Tensor, "b t both"]:
        """Return the same from an LSTM for each direction, the second on the steps turned round."""
        is_recorded = recorded_steps(recorded, steps.shape[1])
        number = torch.arange(steps.shape[1], device=steps.device)
        turned = torch.where(is_recorded, recorded[:, None] - 1 - number, number)[..., None]
        there, back = (tuple(weights) for weights in self.lstm.all_weights)
        onward = self._one_way(steps, there)
        other = self._one_way(steps.gather(1, turned.expand_as(steps)), back)
        other = other.gather(1, turned.expand_as(other))
        return torch.cat([onward, other], dim=2).masked_fill(~is_recorded[..., None], 0.0)

    def _one_way(
        self, steps: Float[Tensor, "b t _"], weights: tuple[Tensor, ...]
    ) -> Float[Tensor, "b t d"]:
        zeros = steps.new_zeros(1, len(steps), self.lstm.hidden_size)
        states: Tensor = torch.lstm(
            steps, (zeros, zeros), weights, False, 1, 0.0, False, False, True
        )[0]  # no biases, one layer, no dropout, not training, one direction, batch first
        return states


class CnnAttentionBilstm(nn.Module):
    """Three blocks of convolutions, feature attention, two BiLSTM, the mean over time, an MLP."""

    def __init__(
        self, settings: CnnAttentionBilstmSettings, *, leads: Sequence[str], classes: int
    ) -> None:
        """Build with random weights; `leads` names the rows of a signal, in their order."""
        super().__init__()
        self.settings = settings
        self.leads = tuple(leads)
        self.blocks = nn.ModuleList()
        width = len(self.leads)
        for channels in _CHANNELS:
            for stride, inputs in ((2, width), (1, channels)):
                self.blocks.append(self._convolution(inputs, channels, stride))
            width = channels
        self.attention = nn.Conv1d(width, width, 1) if settings.attention else None
        self.bilstm = nn.ModuleList(
            [BiLstm(width, 128), BiLstm(256, 64)] if settings.bilstm else []
        )
        self.hidden = nn.Linear(128, 128)
        self.classify = LogitLayer(128, classes)
        self._initialise()

    def _convolution(self, inputs: int, outputs: int, stride: int) -> Convolution:
        return Convolution(
            inputs,
            outputs,
            kernel_size=_KERNEL_SIZE,
            stride=stride,
            eps=_BATCH_NORM_EPS,
            momentum=self.settings.batch_norm_momentum,
        )

    def _initialise(self) -> None:
        """Initialise block 1 by He's normal, the rest by Glorot's uniform, biases by zero."""
        he = [block.convolve for block in self._convolutions()[:2]]
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for convolve in he:
            fan_in = convolve.weight[0].numel()
            sd = (2 / fan_in) ** 0.5 / _TRUNCATED_SD
            nn.init.trunc_normal_(convolve.weight, std=sd, a=-2 * sd, b=2 * sd)

    def _convolutions(self) -> list[Convolution]:
        return [block for block in self.blocks if isinstance(block, Convolution)]

    def l2_penalised(self) -> list[Tensor]:
        """Return the weights that the authors' code penalises by `L2`, which have no biases."""
        return [*(block.convolve.weight for block in self._convolutions()), self.hidden.weight]

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        recorded: Recorded = WHOLE,
    ) -> Outputs:
        """Classify; raises InputError for a signal of other leads."""
        check_rows(signal, self.leads)
        if recorded.present is not None:
            signal = signal.masked_fill(~recorded.present[..., None], 0.0)
        samples = recorded.samples if self.settings.padding == "ignore" else None
        if samples is not None:
            samples = samples.clamp(min=1)
        features, left = self._convolve(signal, samples)
        steps = rearrange(features, "b d t -> b t d")
        for bilstm in self.bilstm:
            steps = bilstm(steps, left)
        if self.bilstm:
            steps = self._dropout(steps, 0.3)
        pooled = self._dropout(mean_over_recorded(steps, left), 0.5)
        return Outputs(self.classify(self._dropout(self.hidden(pooled).relu(), 0.4)))

    def _convolve(
        self, signal: Float[Tensor, "b l samples"], recorded: Tensor | None
    ) -> tuple[Float[Tensor, "b d t"], Tensor | None]:
        """Return the features before the BiLSTM, and how many of their steps are recorded.

        Without attention the last halving stays, so that the ablations differ in one thing.
        """
        features = signal
        convolutions = self._convolutions()
        for number, dropout in enumerate(_BLOCK_DROPOUTS):
            for convolution in convolutions[2 * number : 2 * number + 2]:
                features = convolution(features, recorded)
                recorded = steps_left(recorded, convolution.stride)
            features, recorded = self._halve(features, recorded, dropout)
        if self.attention is not None:
            features = features * self.attention(features).sigmoid()
        return self._halve(features, recorded, 0.4)

    def _halve(
        self, features: Tensor, recorded: Tensor | None, dropout: float
    ) -> tuple[Tensor, Tensor | None]:
        pooled = F.max_pool1d(features, 2, ceil_mode=True)  # Keras' "same"
        return self._dropout(pooled, dropout), steps_left(recorded, 2)

    def _dropout(self, features: Tensor, share: float) -> Tensor:
        return F.dropout(features, share, training=self.training)
