"""The gate over channels: its formula, class by class, and the tokens it is built for."""

import numpy as np
import pytest
import torch

from finetune.networks.channel_gate import ChannelGate
from lamae.errors import InputError


def test_gate_is_the_formula_of_the_paper_class_by_class() -> None:
    """A = softmax over channels of W (tanh(V h) * sigmoid(U h)); the sum is that of h itself."""
    torch.manual_seed(0)
    gate = ChannelGate(5, classes=3).eval()
    for parameter in gate.parameters():
        torch.nn.init.normal_(parameter)
    tokens = torch.randn(2, 5, 8)
    w = {name: value.detach().double().numpy() for name, value in gate.named_parameters()}
    for row, recording in enumerate(tokens.double().numpy()):
        h = recording.T
        opened = np.tanh(h @ w["content.weight"].T + w["content.bias"]) / (
            1 + np.exp(-(h @ w["opening.weight"].T + w["opening.bias"]))
        )
        for number in range(3):
            scores = np.exp(opened @ w["score.weight"][number] + w["score.bias"][number])
            summed = (scores / scores.sum()) @ h
            hidden = np.maximum(w["hidden.weight"] @ summed + w["hidden.bias"], 0)
            expected = w[f"classify.{number}.weight"] @ hidden + w[f"classify.{number}.bias"]
            with torch.no_grad():
                assert gate(tokens)[row, number].item() == pytest.approx(expected[0], abs=1e-4)


def test_the_gate_has_the_released_parameters_but_those_of_hand_crafted_features() -> None:
    """V and U 184 to 184, W 184 to 27, rho 184 to 184, 27 times 184 to 1, all with biases."""
    gate = ChannelGate(184, classes=27)
    expected = 3 * (184 * 184 + 184) + (184 * 27 + 27) + 27 * (184 + 1)
    assert sum(parameter.numel() for parameter in gate.parameters()) == expected == 112_110


def test_another_number_of_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="4 tokens; expected 5"):
        ChannelGate(5, classes=3)(torch.randn(1, 4, 8))
