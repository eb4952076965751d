"""Hybrid LASAN: the gate's formula, and each side left out what is absent."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from finetune.networks.hybrid import GatedFusion, HybridLasan
from finetune.networks.outputs import Outputs
from finetune.networks.settings import LasanSettings
from lamae.ecg.leads import LEADS
from lamae.model.encoder import Encoder
from lamae.model.recorded import Recorded
from lamae.model.settings import EncoderSettings, Pooling

TINY = LasanSettings(channels=(4, 8), kernel_size=5, depth=1, heads=2, hidden=8)


def make_model(
    leads: tuple[str, ...] = LEADS, *, pooling: Pooling = "mean", **changes: Any
) -> HybridLasan:
    torch.manual_seed(0)
    encoder = Encoder(EncoderSettings(patch_size=10, width=16, depth=1, heads=2, latent_depth=1))
    settings = TINY.model_copy(update=changes)
    model = HybridLasan(encoder, settings, leads=leads, classes=3, pooling=pooling)
    nn.init.normal_(model.branch.attention.lead_embedding)
    for parameter in encoder.latent.parameters():  # no longer the identity
        nn.init.normal_(parameter, std=0.1)
    return model.eval()


@pytest.fixture
def signal() -> torch.Tensor:
    """Three recordings of twelve leads."""
    return torch.randn(3, 12, 60, generator=torch.Generator().manual_seed(1))


def parts_of(outputs: Outputs) -> tuple[torch.Tensor, torch.Tensor]:
    assert outputs.lead_weights is not None and outputs.gate is not None
    return outputs.lead_weights, outputs.gate


def test_fusion_is_the_design_formula() -> None:
    torch.manual_seed(0)
    fusion = GatedFusion(6, 4)
    for parameter in fusion.parameters():
        nn.init.normal_(parameter)
    f, c = torch.randn(5, 6), torch.randn(5, 4)
    values = {name: value.detach().numpy() for name, value in fusion.named_parameters()}

    def norm(x: np.ndarray, side: str) -> np.ndarray:
        standard = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(
            x.var(axis=1, keepdims=True) + 1e-5
        )
        return standard * values[f"norm_{side}.weight"] + values[f"norm_{side}.bias"]

    u = norm(f.numpy() @ values["project.weight"].T + values["project.bias"], "encoder")
    v = norm(c.numpy(), "lasan")
    both = np.concatenate([u, v], axis=1) @ values["gate.weight"].T + values["gate.bias"]
    g = 1 / (1 + np.exp(-both))
    with torch.no_grad():
        fused = fusion(f, c)
    np.testing.assert_allclose(fused.gate, g, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fused.vector, g * u + (1 - g) * v, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("bias", "reads"), [(50.0, "encoder"), (-50.0, "lasan")])
def test_a_gate_wholly_to_one_side_leaves_the_other_out(
    bias: float, reads: str, signal: torch.Tensor
) -> None:
    model = make_model()
    nn.init.zeros_(model.fusion.gate.weight)
    nn.init.constant_(model.fusion.gate.bias, bias)
    other = make_model()
    other.load_state_dict(model.state_dict())
    silent = other.branch if reads == "encoder" else other.encoder
    for parameter in silent.parameters():
        nn.init.normal_(parameter)
    with torch.no_grad():
        expected, got = model(signal), other(signal)
    torch.testing.assert_close(got.logits, expected.logits)
    _, gate = parts_of(expected)
    assert gate.tolist() == [[1.0 if reads == "encoder" else pytest.approx(0.0)] * 8] * 3


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_any_pooling_fits_and_the_gate_is_a_share(pooling: Pooling, signal: torch.Tensor) -> None:
    with torch.no_grad():
        outputs = make_model(LEADS[:8], pooling=pooling)(signal[:, :8])
    weights, gate = parts_of(outputs)
    assert outputs.logits.shape == (3, 3)
    assert ((gate > 0) & (gate < 1)).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))


def test_permuting_leads_with_their_names_changes_nothing(signal: torch.Tensor) -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    straight, permuted = make_model(), make_model(tuple(LEADS[i] for i in order))
    permuted.load_state_dict(straight.state_dict())
    with torch.no_grad():
        expected, got = straight(signal), permuted(signal[:, order])
    torch.testing.assert_close(got.logits, expected.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(parts_of(got)[0], parts_of(expected)[0][:, order])
    torch.testing.assert_close(parts_of(got)[1], parts_of(expected)[1], atol=1e-5, rtol=1e-5)


def test_an_absent_lead_is_as_if_it_were_not_there(signal: torch.Tensor) -> None:
    kept = [0, 1, 3, 4, 5, 6, 8, 9, 10, 11]
    whole, part = make_model(), make_model(tuple(LEADS[i] for i in kept))
    part.load_state_dict(whole.state_dict())
    present = torch.ones(3, 12, dtype=torch.bool)
    present[:, [2, 7]] = False
    noisy = signal.clone()
    noisy[:, [2, 7]] = 100.0
    with torch.no_grad():
        got, expected = whole(noisy, Recorded(present)), part(signal[:, kept])
    torch.testing.assert_close(got.logits, expected.logits, atol=1e-5, rtol=1e-5)
    assert (parts_of(got)[0][:, [2, 7]] == 0).all()


def test_padding_is_as_if_it_were_not_there(signal: torch.Tensor) -> None:
    model, noisy = make_model(), signal.clone()
    noisy[..., 40:] = 100.0
    valid, samples = torch.arange(6).expand(3, 6) < 4, torch.full((3,), 40)
    with torch.no_grad():
        padded, cut = model(noisy, Recorded(valid=valid, samples=samples)), model(signal[..., :40])
    torch.testing.assert_close(padded.logits, cut.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(parts_of(padded)[1], parts_of(cut)[1], atol=1e-5, rtol=1e-5)


def test_both_sides_are_trained_and_a_frozen_encoder_stays(signal: torch.Tensor) -> None:
    model = make_model(pooling="attention").train()
    model(signal).logits.square().sum().backward()
    idle = {n for n, p in model.named_parameters() if p.grad is None or (p.grad == 0).all()}
    # Batch normalisation takes away what a bias before it adds, softmax what the key's bias adds.
    assert not {n for n in idle if not n.endswith(("convolve.bias", "key.bias"))}
    frozen = make_model(pooling="attention").train()
    frozen.encoder.requires_grad_(False)
    frozen(signal).logits.square().sum().backward()
    assert all(parameter.grad is None for parameter in frozen.encoder.parameters())
    assert frozen.fusion.project.weight.grad is not None
