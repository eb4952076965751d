"""Classification by gated attention over channels, as the hierarchical transformer has it.

The gated attention of Ilse et al. (2018), which weighs the instances of a bag, is put on the
channels of tokens: an instance is the course of one channel over all tokens, and each class has
its own weights (Tang et al., arXiv 2411.00755).
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from finetune.networks.outputs import LogitLayer
from lamae.errors import InputError

_DROPOUT = 0.25


class ChannelGate(nn.Module):
    """Weigh channels by tanh(V h) * sigmoid(U h) for each class, and classify their sum."""

    def __init__(self, tokens: int, *, classes: int) -> None:
        """Build for sequences of so many tokens."""
        super().__init__()
        self.tokens = tokens
        self.content, self.opening = nn.Linear(tokens, tokens), nn.Linear(tokens, tokens)
        self.score = nn.Linear(tokens, classes)
        self.hidden = nn.Linear(tokens, tokens)
        self.classify = nn.ModuleList(LogitLayer(tokens, 1) for _ in range(classes))
        self.dropout = nn.Dropout(_DROPOUT)
        for layer in (self.content, self.opening, self.score):
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Float[Tensor, "b t d"]) -> Float[Tensor, "b classes"]:
        """Return the logit of each class; raises InputError for another number of tokens."""
        if tokens.shape[1] != self.tokens:
            raise InputError(
                "signal",
                value=f"{tokens.shape[1]} tokens",
                expected=f"{self.tokens}, for which the gate was built",
                remedy="Give signals of the length for which the classifier was built.",
            )
        channels = rearrange(tokens, "b t d -> b d t")
        content = self.dropout(self.content(channels).tanh())
        opening = self.dropout(self.opening(channels).sigmoid())
        weights = self.score(content * opening).softmax(dim=1)
        summed = torch.einsum("b d c, b d t -> b c t", weights, channels)
        hidden = self.dropout(self.hidden(summed).relu())
        logits = [layer(hidden[:, number]) for number, layer in enumerate(self.classify)]
        return torch.cat(logits, dim=1)
