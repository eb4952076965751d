"""Attention by one softmax and by the difference of two: the papers' formulas, and masks."""

import math

import numpy as np
import pytest
import torch

from finetune.networks.differential_attention import DifferentialAttention, SoftmaxAttention

WIDTH, HEADS = 16, 2


def softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


@pytest.fixture
def tokens() -> torch.Tensor:
    """Three recordings of seven tokens."""
    return torch.randn(3, 7, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layer", [0, 5])
def test_differential_attention_is_the_papers_formula_head_by_head(
    layer: int, tokens: torch.Tensor
) -> None:
    """Ye et al. 2024, equations 1 to 3: RMS norm of each head, times one minus lambda_init."""
    torch.manual_seed(0)
    attention = DifferentialAttention(WIDTH, HEADS, layer=layer)
    torch.nn.init.uniform_(attention.norm.weight, 0.5, 2.0)
    weights = {n: p.detach().double().numpy() for n, p in attention.named_parameters()}
    x = tokens[0].double().numpy()
    q, k, v = (x @ weights[f"{name}.weight"].T for name in ("query", "key", "value"))
    initial = 0.8 - 0.6 * math.exp(-0.3 * layer)
    q1, k1, q2, k2 = (weights[f"vectors.{number}"] for number in range(4))
    lam = np.exp(q1 @ k1) - np.exp(q2 @ k2) + initial
    width, heads = WIDTH // HEADS, []
    for head in range(HEADS):
        first = slice(head * width, head * width + width // 2)
        second = slice(head * width + width // 2, (head + 1) * width)
        maps = [softmax(q[:, half] @ k[:, half].T / (width / 2) ** 0.5) for half in (first, second)]
        read = (maps[0] - lam * maps[1]) @ v[:, head * width : (head + 1) * width]
        rms = np.sqrt((read**2).mean(axis=1, keepdims=True) + 1e-5)
        heads.append((1 - initial) * read / rms * weights["norm.weight"])
    expected = np.concatenate(heads, axis=1) @ weights["project.weight"].T
    with torch.no_grad():
        found = attention(tokens, None)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_both_softmaxes_attend_to_cancels(tokens: torch.Tensor) -> None:
    torch.manual_seed(0)
    attention = DifferentialAttention(WIDTH, HEADS, layer=0)
    with torch.no_grad():
        for weight in (attention.query.weight, attention.key.weight):
            halves = weight.view(HEADS, 2, WIDTH // HEADS // 2, WIDTH)
            halves[:, 1] = halves[:, 0]
        for vector in attention.vectors:
            vector.zero_()
        attention.vectors[0][0], attention.vectors[1][0] = 1.0, math.log(1.8)
        assert attention.weight().item() == pytest.approx(1.0)  # 1.8 - 1 + 0.2
        assert attention(tokens, None).abs().max() < 1e-3


def test_the_second_softmax_weighs_a_fifth_in_the_first_layer_and_more_above() -> None:
    torch.manual_seed(0)
    initial = [DifferentialAttention(WIDTH, HEADS, layer=layer) for layer in range(12)]
    weights = [attention.initial_weight for attention in initial]
    assert weights[0] == pytest.approx(0.2)
    assert weights == sorted(weights) and weights[-1] < 0.8


@pytest.mark.parametrize("differential", [True, False])
def test_tokens_that_are_not_seen_are_as_if_they_were_not_there(
    differential: bool, tokens: torch.Tensor
) -> None:
    torch.manual_seed(0)
    attention = (
        DifferentialAttention(WIDTH, HEADS, layer=3)
        if differential
        else SoftmaxAttention(WIDTH, HEADS)
    )
    sees = torch.arange(7).expand(3, -1) < 4
    with torch.no_grad():
        masked, cut = attention(tokens, sees)[:, :4], attention(tokens[:, :4], None)
        whole = attention(tokens, None)[:, :4]
    torch.testing.assert_close(masked, cut)
    assert not torch.allclose(whole, cut, atol=1e-3)
