"""Attention between the tokens of a recording: by one softmax, or by the difference of two.

Differential attention (Ye et al., arXiv 2410.05258, equations 1 to 3) divides queries and keys of
a head in two, and takes the second half's softmax away from the first's, so that what both attend
to cancels. Neither form has biases, so that a comparison of the two changes nothing else.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

_SD_OF_LAMBDA_VECTORS = 0.1
_RMS_NORM_EPS = 1e-5


class SoftmaxAttention(nn.Module):
    """Attention of several heads between tokens, with one softmax for each."""

    def __init__(self, width: int, heads: int) -> None:
        """Build for tokens of `width`, a multiple of `heads`."""
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.project = nn.Linear(width, width, bias=False)

    def forward(
        self, tokens: Float[Tensor, "b t d"], sees: Bool[Tensor, "b t"] | None
    ) -> Float[Tensor, "b t d"]:
        """Let tokens attend to one another; to none where `sees` is False."""
        return self._join(self._attend(tokens, self.heads, self._values(tokens), sees))

    def _values(self, tokens: Float[Tensor, "b t d"]) -> Float[Tensor, "b h t w"]:
        return rearrange(self.value(tokens), "b t (h w) -> b h t w", h=self.heads)

    def _attend(
        self,
        tokens: Float[Tensor, "b t d"],
        softmaxes: int,
        values: Float[Tensor, "b s t w"],
        sees: Bool[Tensor, "b t"] | None,
    ) -> Float[Tensor, "b s t w"]:
        query = rearrange(self.query(tokens), "b t (s w) -> b s t w", s=softmaxes)
        key = rearrange(self.key(tokens), "b t (s w) -> b s t w", s=softmaxes)
        mask = None if sees is None else sees[:, None, None, :]
        return F.scaled_dot_product_attention(query, key, values, attn_mask=mask)

    def _join(self, read: Float[Tensor, "b h t w"]) -> Float[Tensor, "b t d"]:
        return self.project(rearrange(read, "b h t w -> b t (h w)"))


class DifferentialAttention(SoftmaxAttention):
    """The difference of two softmaxes for each head, with a learnt weight of the second."""

    def __init__(self, width: int, heads: int, *, layer: int) -> None:
        """Build for tokens of `width`, a multiple of twice the heads; `layer` counts from 0."""
        super().__init__(width, heads)
        half = width // heads // 2
        self.initial_weight = 0.8 - 0.6 * math.exp(-0.3 * layer)
        self.vectors = nn.ParameterList(
            torch.randn(half) * _SD_OF_LAMBDA_VECTORS for _ in ("q1", "k1", "q2", "k2")
        )
        self.norm = nn.RMSNorm(2 * half, eps=_RMS_NORM_EPS)

    def weight(self) -> Float[Tensor, ""]:
        """Return the weight of the second softmax, the paper's lambda."""
        query_1, key_1, query_2, key_2 = self.vectors
        first, second = (query_1 * key_1).sum().exp(), (query_2 * key_2).sum().exp()
        return first - second + self.initial_weight

    def forward(
        self, tokens: Float[Tensor, "b t d"], sees: Bool[Tensor, "b t"] | None
    ) -> Float[Tensor, "b t d"]:
        """Let tokens attend to one another; to none where `sees` is False."""
        values = repeat(self._values(tokens), "b h t w -> b (h two) t w", two=2)
        read = self._attend(tokens, 2 * self.heads, values, sees)
        first, second = rearrange(read, "b (h two) t w -> two b h t w", two=2)
        difference = self.norm(first - self.weight() * second)
        return self._join(difference * (1 - self.initial_weight))
