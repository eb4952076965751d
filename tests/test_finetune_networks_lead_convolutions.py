"""The six convolutions: the released sizes, leads apart, and no look at padding."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from finetune.networks.lead_convolutions import LeadConvolutions, scale_lengths
from lamae.errors import InputError

STRIDES, PADDINGS = (3, 3, 2, 2, 1, 1), (2, 0, 0, 0, 0, 0)


def make(*, leads: int = 3, width: int = 12, grouped: bool = True) -> LeadConvolutions:
    torch.manual_seed(0)
    convolutions = LeadConvolutions(leads, width, grouped=grouped)
    for module in convolutions.modules():  # statistics and biases that would betray a slip
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight, mean=1.0, std=0.2)
            nn.init.normal_(module.bias, std=0.5)
            assert module.running_mean is not None
            nn.init.normal_(module.running_mean)
    return convolutions


def test_the_released_network_has_the_parameters_and_lengths_of_the_paper() -> None:
    convolutions = LeadConvolutions(12, 288, grouped=True).eval()
    assert sum(parameter.numel() for parameter in convolutions.parameters()) == 316_320
    lengths = []
    for convolve in convolutions.convolve:
        convolve.register_forward_hook(lambda _, __, out: lengths.append(out.shape[2]))
    with torch.no_grad():
        scales = convolutions(torch.randn(1, 12, 7500), None)
    assert lengths == [2497, 828, 410, 201, 192, 183]
    shapes = [tuple(scale.features.shape[1:]) for scale in scales]
    assert shapes == [(288, 410), (288, 201), (288, 183)]


@pytest.mark.parametrize("grouped", [True, False])
def test_a_scale_is_read_before_batch_normalisation_and_relu(grouped: bool) -> None:
    convolutions = make(grouped=grouped).eval()
    signal = torch.randn(2, 3, 1200, dtype=torch.float64)
    convolutions.double()
    features, expected = signal, []
    for number, (stride, padding) in enumerate(zip(STRIDES, PADDINGS, strict=True)):
        weight = convolutions.get_parameter(f"convolve.{number}.weight")
        features = F.conv1d(
            features, weight, stride=stride, padding=padding, groups=3 if grouped else 1
        )
        expected.append(features)
        norm = convolutions.norms[number]
        assert isinstance(norm, nn.BatchNorm1d)
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight / (norm.running_var + 1e-5).sqrt()
        shift = norm.bias - norm.running_mean * scale
        features = (features * scale[:, None] + shift[:, None]).clamp(min=0)
    found = convolutions(signal, None)
    for scale, number in zip(found, (2, 3, 5), strict=True):
        torch.testing.assert_close(scale.features, expected[number])


@pytest.mark.parametrize("grouped", [True, False])
def test_channels_of_a_lead_are_its_own_only_where_leads_are_grouped(grouped: bool) -> None:
    convolutions = make(grouped=grouped).eval()
    signal = torch.randn(1, 3, 1000, requires_grad=True)
    for scale in convolutions(signal, None):
        of_second = scale.features[:, 4:8].square().sum()
        (gradient,) = torch.autograd.grad(of_second, signal, retain_graph=True)
        moved = gradient[0].abs().sum(dim=1) > 0
        assert moved.tolist() == ([False, True, False] if grouped else [True] * 3)


@pytest.mark.parametrize("samples", [940, 941, 1000, 2500, 4999, 5000])
def test_lengths_are_those_that_torch_makes(samples: int) -> None:
    with torch.no_grad():
        scales = make().eval()(torch.randn(1, 3, samples), None)
    assert scale_lengths(samples) == tuple(scale.features.shape[2] for scale in scales)


def test_a_signal_of_which_no_token_is_made_is_refused_with_the_least_length() -> None:
    assert scale_lengths(940)[-1] == 1
    with pytest.raises(InputError, match="939 samples; expected at least 940"):
        make()(torch.randn(1, 3, 939), None)


def test_a_recording_that_ends_early_is_as_if_it_were_cut_there() -> None:
    convolutions, signal = make().eval(), torch.randn(2, 3, 2000)
    for end in (940, 1001, 1003, 1997):
        with torch.no_grad():
            ended = convolutions(signal, torch.tensor([2000, end]))
            cut = convolutions(signal[1:, :, :end], None)
        for scale, alone in zip(ended, cut, strict=True):
            assert scale.recorded is not None
            length = alone.features.shape[2]
            assert scale.recorded.tolist() == [scale.features.shape[2], length]
            torch.testing.assert_close(scale.features[1:, :, :length], alone.features)


@pytest.mark.parametrize("samples", [1, 500, 939, 1150])
def test_what_stands_behind_a_recording_does_not_matter_and_a_token_is_left(samples: int) -> None:
    convolutions, signal = make().train(), torch.randn(2, 3, 1200)
    noisy = signal.clone()
    noisy[1, :, samples:] = torch.nan
    recorded = torch.tensor([1200, samples])
    for one, two in zip(convolutions(signal, recorded), convolutions(noisy, recorded), strict=True):
        torch.testing.assert_close(one.features, two.features)
        assert one.recorded is not None and one.recorded.min() >= 1
        assert torch.isfinite(two.features).all()
