"""LASAN: the counts of its parts, leads by name, and no look at what is absent."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from finetune.networks.lasan import Lasan, LeadAttention, TemporalCnn
from finetune.networks.settings import LasanSettings
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.errors import InputError
from lamae.model.recorded import Recorded

TINY = LasanSettings(channels=(4, 8), kernel_size=5, depth=2, heads=2, hidden=8)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def make_model(leads: tuple[str, ...] = LEADS, *, classes: int = 3, **changes: Any) -> Lasan:
    torch.manual_seed(0)
    model = Lasan(TINY.model_copy(update=changes), leads=leads, classes=classes)
    for module in model.modules():  # statistics and biases that would betray a slip
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight, mean=1.0, std=0.2)
            nn.init.normal_(module.bias, std=0.5)
    nn.init.normal_(model.branch.attention.lead_embedding)
    return model.eval()


@pytest.fixture
def signal() -> torch.Tensor:
    """Three recordings of twelve leads."""
    return torch.randn(3, 12, 64, generator=torch.Generator().manual_seed(1))


def test_parts_have_the_parameters_of_the_design() -> None:
    settings = LasanSettings()
    assert parameters(TemporalCnn(settings)) == 647_040
    attention = LeadAttention(settings)
    assert [parameters(layer) for layer in attention.layers] == [789_760] * 3
    assert attention.lead_embedding.shape == (12, 256)
    classifier = Lasan(settings, leads=INDEPENDENT_LEADS, classes=3).classify
    assert parameters(classifier) == (256 * 128 + 128) + (128 * 3 + 3)


def test_ten_seconds_at_250_hz_become_156_steps() -> None:
    cnn, lengths = TemporalCnn(LasanSettings()).eval(), []
    cnn.dropout.register_forward_hook(lambda _, __, out: lengths.append(out.shape[1:]))
    with torch.no_grad():
        assert cnn(torch.randn(2, 2500), None).shape == (2, 256)
    assert lengths == [(32, 1250), (64, 625), (128, 312), (256, 156)]


def test_summary_is_the_design_formula_of_attention_pooling() -> None:
    torch.manual_seed(0)
    attention = LeadAttention(TINY.model_copy(update={"depth": 1})).eval()
    for layer in attention.layers:  # leave h_l = f(x_l) + e_l
        for name, parameter in layer.named_parameters():
            if name.startswith(("attn.proj", "mlp.fc2")):
                nn.init.zeros_(parameter)
    vectors, leads = torch.randn(2, 3, 8), ("V2", "I", "aVF")
    pooling, rows = attention.importance, [LEADS.index(lead) for lead in leads]
    with torch.no_grad():
        summary = attention(vectors, leads, None)
        h = vectors.numpy() + attention.lead_embedding[rows].numpy()
        key = h @ pooling.key.weight.numpy().T + pooling.key.bias.numpy()
        value = h @ pooling.value.weight.numpy().T + pooling.value.bias.numpy()
        scores = np.exp(key @ pooling.query.numpy() / np.sqrt(8))
    weights = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(summary.lead_weights, weights, rtol=1e-5)
    expected = (weights[..., None] * value).sum(axis=1)
    np.testing.assert_allclose(summary.vector, expected, rtol=1e-4, atol=1e-6)


def test_permuting_leads_with_their_names_changes_nothing(signal: torch.Tensor) -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    straight, permuted = make_model(), make_model(tuple(LEADS[i] for i in order))
    permuted.load_state_dict(straight.state_dict())
    with torch.no_grad():
        expected, got = straight(signal), permuted(signal[:, order])
        misnamed = straight(signal[:, order])
    torch.testing.assert_close(got.logits, expected.logits)
    torch.testing.assert_close(got.lead_weights, expected.lead_weights[:, order])
    assert not torch.allclose(misnamed.logits, expected.logits, atol=1e-3)


def test_importance_is_a_share_of_the_leads_present(signal: torch.Tensor) -> None:
    present = torch.ones(3, 12, dtype=torch.bool)
    present[0, [2, 7]] = present[1, 1:] = False
    with torch.no_grad():
        weights = make_model()(signal, Recorded(present)).lead_weights
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    assert (weights[~present] == 0).all()
    assert (weights[present] > 0).all()


@pytest.mark.parametrize("training", [True, False])
def test_an_absent_lead_is_as_if_it_were_not_there(signal: torch.Tensor, training: bool) -> None:
    kept = [0, 1, 3, 4, 5, 6, 8, 9, 10, 11]
    whole = make_model(dropout=0.0).train(training)
    part = make_model(tuple(LEADS[i] for i in kept), dropout=0.0).train(training)
    present = torch.ones(3, 12, dtype=torch.bool)
    present[:, [2, 7]] = False
    noisy = signal.clone()
    noisy[:, [2, 7]] = torch.nan
    expected = part(signal[:, kept])
    got = whole(noisy, Recorded(present))
    torch.testing.assert_close(got.logits, expected.logits)
    torch.testing.assert_close(got.lead_weights[:, kept], expected.lead_weights)


@pytest.mark.parametrize("samples", [33, 32, 3])
def test_padding_is_as_if_it_were_not_there(signal: torch.Tensor, samples: int) -> None:
    model = make_model()
    noisy = signal.clone()
    noisy[1:, :, samples:] = torch.nan
    recorded = torch.tensor([64, samples, samples])
    with torch.no_grad():
        padded = model.summarise(noisy, Recorded(samples=recorded)).vector
        whole = model.summarise(signal[:1]).vector
        if samples >= 4:  # less than a step of this CNN cannot stand by itself
            cut = model.summarise(signal[1:, :, :samples]).vector
            torch.testing.assert_close(padded[1:], cut)
    torch.testing.assert_close(padded[:1], whole)
    assert padded.isfinite().all()


def test_absent_leads_and_padding_together_are_each_left_out(signal: torch.Tensor) -> None:
    present = torch.ones(3, 12, dtype=torch.bool)
    present[1, :6] = False
    recorded = torch.tensor([64, 40, 24])
    with torch.no_grad():
        parts = Recorded(present, samples=recorded)
        together = make_model().summarise(signal, parts)
        for row, length in enumerate(recorded.tolist()):
            kept = present[row].nonzero()[:, 0].tolist()
            alone = make_model(tuple(LEADS[i] for i in kept))
            single = alone.summarise(signal[row : row + 1, kept, :length])
            torch.testing.assert_close(together.vector[row], single.vector[0])
            torch.testing.assert_close(together.lead_weights[row, kept], single.lead_weights[0])


def test_every_parameter_is_trained(signal: torch.Tensor) -> None:
    model = make_model().train()
    outputs = model(signal, Recorded(samples=torch.tensor([64, 50, 64])))
    outputs.logits.square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or (p.grad == 0).all()]
    # Batch normalisation takes away what a bias before it adds, softmax what the key's bias adds.
    excused = ("convolve.bias", "importance.key.bias")
    assert not [name for name in idle if not name.endswith(excused)]


def test_importance_finds_the_lead_that_carries_the_sign() -> None:
    leads, generator = ("I", "V1", "V5"), torch.Generator().manual_seed(0)
    model = make_model(leads, classes=2, dropout=0.0).train()
    nn.init.normal_(model.branch.attention.lead_embedding, std=0.02)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    wave = torch.sin(torch.linspace(0, 9, 32))
    for _ in range(60):
        signal = torch.randn(32, 3, 32, generator=generator)
        labels = torch.randint(2, (32,), generator=generator)
        signal[:, 1] += 2 * labels[:, None] * wave
        outputs = model(signal)
        loss = nn.functional.cross_entropy(outputs.logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.3
    assert outputs.lead_weights.mean(dim=0).argmax() == 1


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError, match="last of channels, 9, must be a multiple of heads"):
        LasanSettings(channels=(4, 9), heads=2)


def test_a_signal_of_other_leads_is_named() -> None:
    with pytest.raises(InputError, match="1 rows; expected one for each of I, II"):
        make_model(("I", "II"))(torch.randn(1, 1, 64))
