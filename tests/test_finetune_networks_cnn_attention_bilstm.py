"""CNN-Attention-BiLSTM: the paper's counts, Keras' layers, and no look at padding."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from finetune.networks.cnn_attention_bilstm import L2, BiLstm, CnnAttentionBilstm
from finetune.networks.convolution import Convolution
from finetune.networks.settings import CnnAttentionBilstmSettings
from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.model.recorded import Recorded

KERNEL_SIZE = 15


def make_model(*, leads: int = 12, classes: int = 9, **changes: Any) -> CnnAttentionBilstm:
    torch.manual_seed(0)
    settings = CnnAttentionBilstmSettings.model_validate(changes)
    model = CnnAttentionBilstm(settings, leads=LEADS[:leads], classes=classes)
    for module in model.modules():  # statistics and biases that would betray a slip
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight, mean=1.0, std=0.2)
            nn.init.normal_(module.bias, std=0.5)
    return model


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(features: torch.Tensor, share: float, *, training: bool) -> torch.Tensor:
        return features

    monkeypatch.setattr("torch.nn.functional.dropout", keep)


@pytest.mark.parametrize(
    ("changes", "leads", "total"),
    [
        ({}, 12, 945_865),
        ({}, 1, 940_585),
        ({"attention": False, "bilstm": False}, 12, 501_833),
        ({"bilstm": False}, 12, 518_345),
        ({"attention": False}, 12, 929_353),
    ],
)
def test_network_and_ablations_have_the_papers_parameters(
    changes: dict[str, Any], leads: int, total: int
) -> None:
    model = make_model(leads=leads, **changes)
    statistics = [b.numel() for name, b in model.named_buffers() if "running" in name]
    assert sum(statistics) == 896
    assert parameters(model) == total - 896


def test_parts_have_the_parameters_of_the_breakdown() -> None:
    model = make_model()
    statistics = (2 * 2 * width for width in (32, 64, 128))
    blocks = [
        parameters(model.blocks[2 * i]) + parameters(model.blocks[2 * i + 1]) + extra
        for i, extra in enumerate(statistics)
    ]
    assert blocks == [21_440, 92_800, 369_920]
    assert model.attention is not None
    assert parameters(model.attention) == 16_512
    assert [parameters(lstm) for lstm in model.bilstm] == [263_168, 164_352]
    assert parameters(model.hidden) + parameters(model.classify) == 17_673


def test_a_minute_at_250_hz_has_the_papers_length_after_each_stage() -> None:
    model = make_model().eval()
    lengths = []
    for block in model.blocks:
        block.register_forward_hook(lambda _, __, out: lengths.append(out.shape[2]))
    model.bilstm[0].register_forward_hook(lambda _, __, out: lengths.append(out.shape[1]))
    with torch.no_grad():
        assert model(torch.randn(1, 12, 15_000)).logits.shape == (1, 9)
    assert lengths == [7500, 7500, 1875, 1875, 469, 469, 118]


@pytest.mark.parametrize("steps", [15, 16, 40, 41, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_that_of_keras(steps: int, stride: int) -> None:
    """TensorFlow: ceil(steps / stride) come out; the odd zero goes to the end."""
    layer = Convolution(1, 1, kernel_size=KERNEL_SIZE, stride=stride).eval()
    signal = torch.randn(1, 1, steps)
    kernel = layer.convolve.weight.detach().numpy()[0, 0]
    bias = layer.convolve.bias
    assert bias is not None
    out = int(np.ceil(steps / stride))
    zeros = max((out - 1) * stride + KERNEL_SIZE - steps, 0)
    padded = np.concatenate([np.zeros(zeros // 2), signal[0, 0].numpy(), np.zeros(zeros)])
    expected = [padded[stride * i :][:KERNEL_SIZE] @ kernel + bias.item() for i in range(out)]
    scale = np.sqrt(1 + layer.norm.eps)
    with torch.no_grad():
        got = layer(signal, None)[0, 0].numpy()
    np.testing.assert_allclose(got, np.maximum(expected, 0) / scale, atol=1e-5)


def test_bilstm_is_torchs_with_one_vector_of_biases() -> None:
    torch.manual_seed(0)
    ours, theirs = BiLstm(6, 5), nn.LSTM(6, 5, bidirectional=True, batch_first=True)
    for weight in ours.parameters():
        nn.init.normal_(weight)
    with torch.no_grad():
        for end in ("l0", "l0_reverse"):
            weight = getattr(ours.lstm, f"weight_ih_{end}")
            getattr(theirs, f"weight_ih_{end}").copy_(weight[:, :-1])
            getattr(theirs, f"bias_ih_{end}").copy_(weight[:, -1])
            getattr(theirs, f"weight_hh_{end}").copy_(getattr(ours.lstm, f"weight_hh_{end}"))
            getattr(theirs, f"bias_hh_{end}").zero_()
        steps = torch.randn(3, 8, 6)
        torch.testing.assert_close(ours(steps, None), theirs(steps)[0])


def test_bilstm_reads_each_recording_as_if_it_ended_there() -> None:
    lstm, steps, recorded = BiLstm(6, 5), torch.randn(3, 8, 6), torch.tensor([8, 3, 5])
    with torch.no_grad():
        states = lstm(steps, recorded)
        for row, length in enumerate(recorded.tolist()):
            alone = lstm(steps[row : row + 1, :length], None)[0]
            torch.testing.assert_close(states[row, :length], alone)
            assert (states[row, length:] == 0).all()


@pytest.mark.parametrize("bilstm", [True, False])
def test_padding_is_as_if_it_were_not_there(bilstm: bool) -> None:
    model = make_model(leads=2, bilstm=bilstm).eval()
    signal = torch.randn(2, 2, 1024)
    signal[1, :, 384:] = 50.0
    with torch.no_grad():
        padded = model(signal, Recorded(samples=torch.tensor([1024, 384]))).logits
        whole, cut = model(signal[:1]).logits, model(signal[1:, :, :384]).logits
    torch.testing.assert_close(padded, torch.cat([whole, cut]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("samples", [383, 390, 1])
def test_what_stands_behind_a_recording_does_not_matter(
    samples: int, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_dropout(monkeypatch)
    model = make_model(leads=2).train(training)
    signal, recorded = torch.randn(3, 2, 512), torch.tensor([512, samples, samples])
    noisy = signal.clone()
    noisy[1:, :, samples:] = torch.nan
    expected = model(signal, Recorded(samples=recorded)).logits
    torch.testing.assert_close(model(noisy, Recorded(samples=recorded)).logits, expected)
    longer = torch.nn.functional.pad(signal, (0, 256))
    torch.testing.assert_close(
        model(longer, Recorded(samples=recorded)).logits, expected, atol=1e-4, rtol=1e-4
    )


def test_as_released_the_length_of_a_recording_shows() -> None:
    model = make_model(leads=2, padding="as_released").eval()
    signal = torch.randn(1, 2, 512)
    with torch.no_grad():
        short = model(signal, Recorded(samples=torch.tensor([512]))).logits
        told = model(
            torch.nn.functional.pad(signal, (0, 512)), Recorded(samples=torch.tensor([512]))
        ).logits
        untold = model(torch.nn.functional.pad(signal, (0, 512))).logits
    assert torch.equal(told, untold)
    assert not torch.allclose(told, short, atol=1e-2)


def test_an_absent_lead_is_read_as_zeros() -> None:
    model = make_model(leads=3).eval()
    signal = torch.randn(2, 3, 256)
    present = torch.tensor([[True, True, True], [True, False, True]])
    zeros = signal.clone()
    zeros[1, 1] = 0.0
    with torch.no_grad():
        torch.testing.assert_close(model(signal, Recorded(present)).logits, model(zeros).logits)


def test_attention_weighs_features_between_nothing_and_all() -> None:
    model, without = make_model(leads=2).eval(), make_model(leads=2, attention=False).eval()
    without.load_state_dict(model.state_dict(), strict=False)
    assert model.attention is not None and model.attention.bias is not None
    signal = torch.randn(1, 2, 512)
    nn.init.zeros_(model.attention.weight)
    nn.init.constant_(model.attention.bias, 30.0)  # a sigmoid of one
    with torch.no_grad():
        torch.testing.assert_close(model(signal).logits, without(signal).logits)
        nn.init.constant_(model.attention.bias, -30.0)
        silent = model(signal).logits
        torch.testing.assert_close(silent, model(torch.randn(1, 2, 512)).logits)


def test_initial_weights_are_those_of_keras() -> None:
    torch.manual_seed(0)
    model: Any = CnnAttentionBilstm(CnnAttentionBilstmSettings(), leads=LEADS, classes=9)
    first, second, third = (model.blocks[i].convolve for i in range(3))
    for layer, fan_in in ((first, 12 * KERNEL_SIZE), (second, 32 * KERNEL_SIZE)):
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
        assert (layer.bias == 0).all()
    limit = (6 / (32 * KERNEL_SIZE + 64 * KERNEL_SIZE)) ** 0.5
    assert 0.99 * limit < third.weight.abs().max() <= limit
    weight = model.bilstm[0].lstm.weight_ih_l0
    assert weight[:, -1].reshape(4, 128).tolist() == [[b] * 128 for b in (0.0, 1.0, 0.0, 0.0)]


def test_l2_weighs_the_kernels_of_the_blocks_and_of_the_hidden_layer() -> None:
    model = make_model()
    sizes = sorted(weight.numel() for weight in model.l2_penalised())
    pairs = [(12, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    kernels = [KERNEL_SIZE * inputs * outputs for inputs, outputs in pairs]
    assert sizes == sorted([*kernels, 128 * 128])
    weight = model.l2_penalised()[0]
    (L2 * weight.square().sum()).backward()
    torch.testing.assert_close(weight.grad, 2 * L2 * weight.detach())  # Adam's weight_decay


def test_every_parameter_is_trained() -> None:
    model = make_model(leads=2, classes=3)
    model(
        torch.randn(4, 2, 512), Recorded(samples=torch.tensor([512, 400, 512, 300]))
    ).logits.sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or (p.grad == 0).all()]
    # Batch normalisation takes away what a bias before it adds.
    assert not [name for name in idle if not name.endswith("convolve.bias")]


def test_a_signal_of_other_leads_is_named() -> None:
    with pytest.raises(InputError, match="3 rows; expected one for each of I, II"):
        make_model(leads=2)(torch.randn(1, 3, 256))
