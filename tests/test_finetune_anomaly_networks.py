"""Autoencoders of normal windows: the papers' sizes, and the flaws that the bottleneck repairs."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from finetune.anomaly.networks.bottleneck import BottleneckVae
from finetune.anomaly.networks.cae import Cae
from finetune.anomaly.networks.objective import (
    beta_at,
    divergence_terms,
    log_likelihood_terms,
    vae_loss,
)
from finetune.anomaly.networks.vae import Vae, VaeOutput
from finetune.anomaly.settings import AnomalyTraining, VaeSettings
from lamae.errors import InputError

SMALL: dict[str, Any] = {"hidden": (8, 4), "latent": 8}


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def lstm_pair(inputs: int, first: int, second: int) -> int:
    """Count by the definition: 4 gates of inputs, states and two biases, in two directions."""
    sizes = [(inputs, first), (2 * first, second)]
    return sum(2 * 4 * units * (width + units + 2) for width, units in sizes)


@pytest.mark.parametrize(("latent", "count"), [(64, 10_377_562), (32, 10_270_266)])
def test_vae_bilstm_mha_has_the_parameters_of_the_release(latent: int, count: int) -> None:
    assert parameters(Vae(VaeSettings(latent=latent), leads=12)) == count


def test_cae_has_the_parameters_of_the_release_and_keeps_the_length() -> None:
    model = Cae(12)
    assert parameters(model) == 75_340
    for samples in (500, 497, 5000):
        assert model(torch.randn(2, 12, samples)).shape == (2, 12, samples)


def test_without_attention_only_the_lstms_and_the_two_heads_are_left() -> None:
    settings = VaeSettings(lead_attention=False, sequence_attention=False)
    heads = (512 * 256 + 256 + 1) + (256 * 64 + 64) + (1024 * 512 + 512 + 1) + (512 * 24 + 24)
    expected = lstm_pair(12, 512, 256) + lstm_pair(32, 256, 512) + heads
    assert parameters(Vae(settings, leads=12)) == expected


@pytest.mark.parametrize("latent", [32, 64])
def test_released_latents_have_more_numbers_than_the_window_and_a_bottleneck_fewer(
    latent: int,
) -> None:
    signal = torch.randn(1, 12, 500)
    released = Vae(VaeSettings(hidden=(8, 4), latent=latent), leads=12)(signal)
    repaired = BottleneckVae(VaeSettings(hidden=(8, 4), latent=8, bottleneck=10), leads=12)(signal)
    assert released.latent_mean.numel() > 2.5 * signal.numel()
    assert repaired.latent_mean.numel() < signal.numel() / 50


def blind(model: Vae | BottleneckVae) -> None:
    """Make every latent a standard normal one, whatever the signal: the divergence is zero."""
    model.to_latent.register_forward_hook(lambda _, __, out: torch.zeros_like(out))


def response(model: Vae | BottleneckVae) -> float:
    """Return how much the reconstructions of two signals differ by the same draw of latents."""
    found: list[VaeOutput] = []
    with torch.no_grad():
        for seed in (1, 2):
            signal = torch.randn(2, 12, 40, generator=torch.Generator().manual_seed(seed))
            found.append(model.eval()(signal, generator=torch.Generator().manual_seed(0)))
    assert all(divergence_terms(each).abs().max() == 0 for each in found)
    return float((found[0].mean - found[1].mean).abs().max())


@pytest.mark.parametrize(
    ("lead_attention", "sequence_attention", "sees"),
    [(True, False, True), (False, True, True), (True, True, True), (False, False, False)],
)
def test_the_released_decoder_sees_the_signal_past_latents_that_tell_nothing(
    lead_attention: bool, sequence_attention: bool, sees: bool
) -> None:
    torch.manual_seed(0)
    switches = {"lead_attention": lead_attention, "sequence_attention": sequence_attention}
    model = Vae(VaeSettings.model_validate(SMALL | switches), leads=12)
    blind(model)
    assert (response(model) > 0) == sees


@pytest.mark.parametrize("attends", [True, False])
@pytest.mark.parametrize("count", [1, 5])
def test_the_decoder_behind_a_bottleneck_sees_nothing_but_latents(
    attends: bool, count: int
) -> None:
    switches = {"lead_attention": attends, "sequence_attention": attends, "bottleneck": count}
    model = BottleneckVae(VaeSettings.model_validate(SMALL | switches), leads=12)
    blind(model)
    assert response(model) == 0


def test_lead_context_of_the_bottleneck_reaches_the_latents() -> None:
    torch.manual_seed(0)
    model = BottleneckVae(VaeSettings.model_validate(SMALL | {"bottleneck": 1}), leads=12)
    assert model.lead_attention is not None
    model(torch.randn(2, 12, 40)).latent_mean.sum().backward()
    gradient = model.lead_attention.embed.weight.grad
    assert gradient is not None and gradient.abs().max() > 0


def test_a_window_that_latents_cannot_share_evenly_is_refused() -> None:
    model = BottleneckVae(VaeSettings.model_validate(SMALL | {"bottleneck": 7}), leads=12)
    with pytest.raises(InputError, match=r"multiple of vae\.bottleneck 7"):
        model(torch.randn(1, 12, 40))


def output(signal: Tensor, *, latents: int = 3, width: int = 4) -> VaeOutput:
    draws = torch.Generator().manual_seed(0)
    mean, spread = (torch.randn(signal.shape, generator=draws) for _ in range(2))
    latent = [torch.randn(len(signal), latents, width, generator=draws) for _ in range(2)]
    return VaeOutput(mean, spread, latent[0], latent[1], None, None)


def test_likelihood_and_divergence_are_those_of_torch_distributions() -> None:
    signal = torch.randn(2, 12, 20)
    found = output(signal)
    expected = -Normal(found.mean, (found.log_variance / 2).exp()).log_prob(signal)
    assert torch.allclose(log_likelihood_terms(signal, found), expected, atol=1e-5)
    posterior = Normal(found.latent_mean, (found.latent_log_variance / 2).exp())
    divergence = kl_divergence(posterior, Normal(0.0, 1.0))
    assert torch.allclose(divergence_terms(found), divergence, atol=1e-5)


@pytest.mark.parametrize(("kl", "latent_numbers"), [("mean", 12), ("sum", 1)])
def test_beta_weighs_the_mean_divergence_as_released_or_its_sum(
    kl: str, latent_numbers: int
) -> None:
    signal = torch.randn(2, 12, 20)
    found = output(signal)
    training = AnomalyTraining.model_validate({"kl": kl, "max_beta": 0.3})
    weight = 0.3 / latent_numbers
    counted = torch.ones(signal.shape, dtype=torch.bool)
    change = vae_loss(signal, found, counted, beta=0.3, kl=training.kl) - vae_loss(
        signal, found, counted, beta=0.0, kl=training.kl
    )
    summed = divergence_terms(found).sum(dim=(1, 2)).mean()
    assert change.item() == pytest.approx(weight * summed.item(), rel=1e-3)


def test_what_was_not_recorded_has_no_loss() -> None:
    signal = torch.randn(2, 12, 20)
    found = output(signal)
    counted = torch.ones(signal.shape, dtype=torch.bool)
    counted[0, 3:], counted[1, :, 15:] = False, False
    losses = [
        vae_loss(each, found, counted, beta=0.0, kl="sum").item()
        for each in (signal, signal.masked_fill(~counted, 9.0))
    ]
    expected = -Normal(found.mean, (found.log_variance / 2).exp()).log_prob(signal)
    assert losses == pytest.approx(2 * [expected[counted].sum().item() / 2], rel=1e-4)


def test_beta_rises_over_half_a_cycle_and_starts_anew() -> None:
    training = AnomalyTraining(max_beta=0.3, cycle_steps=10, ramp=0.5)
    rise = [0.06, 0.12, 0.18, 0.24, 0.3]
    assert [beta_at(step, training) for step in range(20)] == pytest.approx(2 * [*rise, *5 * [0.3]])


def test_attention_is_a_share_of_time_and_of_leads() -> None:
    for settings in (VaeSettings.model_validate(SMALL | {"bottleneck": n}) for n in (None, 4)):
        kind = BottleneckVae if settings.bottleneck else Vae
        found = kind(settings, leads=12).eval()(torch.randn(2, 12, 40))
        assert found.attention is not None and found.lead_attention is not None
        assert torch.allclose(found.attention.sum(dim=1), torch.ones(2), atol=1e-5)
        assert torch.allclose(found.lead_attention.sum(dim=1), torch.ones(2, 40), atol=1e-5)


def test_without_a_generator_latents_are_their_means_and_with_one_they_are_drawn() -> None:
    model = Vae(VaeSettings.model_validate(SMALL), leads=12).eval()
    signal = torch.randn(1, 12, 40)
    with torch.no_grad():
        still = [model(signal).mean for _ in range(2)]
        drawn = [model(signal, generator=torch.Generator().manual_seed(s)).mean for s in (1, 1, 2)]
    assert torch.equal(*still)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert math.isfinite(float(drawn[2].sum()))
