"""The encoder: leads are a set, absent leads count for nothing."""

import itertools

import pytest
import torch

from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.model.encoder import Encoder
from lamae.model.masking import Mask
from lamae.model.recorded import Recorded
from lamae.model.settings import EncoderSettings

SETTINGS = EncoderSettings(patch_size=10, width=32, depth=2, heads=4, latent_depth=2)


def make_encoder(**changes: object) -> Encoder:
    """Build an encoder whose latent attention is no longer the identity."""
    torch.manual_seed(0)
    encoder = Encoder(SETTINGS.model_copy(update=changes)).eval()
    for name, parameter in encoder.latent.named_parameters():
        if name.endswith(("attn.proj.weight", "mlp.fc2.weight")):
            torch.nn.init.normal_(parameter, std=0.1)
    return encoder


@pytest.fixture
def signal() -> torch.Tensor:
    """Three recordings of twelve leads."""
    return torch.randn(3, 12, 60, generator=torch.Generator().manual_seed(1))


def test_permuting_leads_permutes_tokens_and_leaves_the_embedding(signal: torch.Tensor) -> None:
    encoder = make_encoder()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    straight = encoder(signal, LEADS)
    permuted = encoder(signal[:, order], [LEADS[i] for i in order])
    torch.testing.assert_close(permuted.embedding, straight.embedding, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(permuted.tokens, straight.tokens[:, order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(permuted.lead_weights, straight.lead_weights[:, order])


def test_permuting_leads_with_lead_embedding_needs_only_their_names(signal: torch.Tensor) -> None:
    encoder = make_encoder(lead_embedding=True)
    order = list(reversed(range(12)))
    straight = encoder(signal, LEADS)
    permuted = encoder(signal[:, order], [LEADS[i] for i in order])
    torch.testing.assert_close(permuted.embedding, straight.embedding, atol=1e-5, rtol=1e-5)
    renamed = encoder(signal[:, order], LEADS)
    assert not torch.allclose(renamed.embedding, straight.embedding, atol=1e-3)


def test_latent_attention_carries_information_between_leads(signal: torch.Tensor) -> None:
    changed = signal.clone()
    changed[:, 5] += 1.0
    with_attention = make_encoder()
    without = make_encoder(latent_depth=0)
    before, after = with_attention(signal, LEADS).tokens, with_attention(changed, LEADS).tokens
    assert not torch.allclose(before[:, 0], after[:, 0], atol=1e-3)
    before, after = without(signal, LEADS).tokens, without(changed, LEADS).tokens
    torch.testing.assert_close(before[:, 0], after[:, 0])


def test_latent_attention_starts_as_the_independent_encoder(signal: torch.Tensor) -> None:
    torch.manual_seed(0)
    latent = Encoder(SETTINGS).eval()
    independent = Encoder(SETTINGS.model_copy(update={"latent_depth": 0})).eval()
    independent.load_state_dict(latent.state_dict(), strict=False)
    ours, theirs = latent(signal, LEADS), independent(signal, LEADS)
    assert torch.equal(ours.tokens, theirs.tokens)
    assert torch.equal(ours.embedding, theirs.embedding)


def test_lead_weights_are_shares_and_an_absent_lead_changes_nothing(signal: torch.Tensor) -> None:
    encoder = make_encoder()
    present = torch.ones(3, 12, dtype=torch.bool)
    present[:, [2, 7]] = False
    noisy = signal.clone()
    noisy[:, [2, 7]] = 100.0
    whole, other = (encoder(x, LEADS, recorded=Recorded(present)) for x in (signal, noisy))
    torch.testing.assert_close(whole.lead_weights.sum(dim=1), torch.ones(3))
    assert (whole.lead_weights >= 0).all()
    assert (whole.lead_weights[:, [2, 7]] == 0).all()
    torch.testing.assert_close(whole.embedding, other.embedding)
    kept = [i for i in range(12) if i not in (2, 7)]
    subset = encoder(signal[:, kept], [LEADS[i] for i in kept])
    torch.testing.assert_close(subset.embedding, whole.embedding, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "leads", list(itertools.islice(itertools.combinations(LEADS, 2), 0, 66, 9))
)
def test_any_subset_of_leads_is_a_valid_input(leads: tuple[str, ...]) -> None:
    latents = make_encoder()(torch.randn(2, len(leads), 40), leads)
    assert latents.embedding.shape == (2, 32)
    assert latents.tokens.shape == (2, len(leads), 5, 32)


def test_a_visible_patch_is_encoded_at_its_own_time(signal: torch.Tensor) -> None:
    encoder = make_encoder(latent_depth=0)
    every = torch.arange(6).expand(3, 12, 6)
    torch.testing.assert_close(
        encoder(signal, LEADS, mask=Mask(every)).tokens, encoder(signal, LEADS).tokens
    )
    repeated = signal[:, :, :10].repeat(1, 1, 6)
    early, late = (
        encoder(repeated, LEADS, mask=Mask(torch.full((3, 12, 1), n))).tokens for n in (0, 5)
    )
    assert not torch.allclose(early, late, atol=1e-3)


def test_a_signal_that_does_not_fit_is_named() -> None:
    encoder = make_encoder()
    with pytest.raises(InputError, match="2 rows; expected one for each of I, II, V1"):
        encoder(torch.randn(1, 2, 60), ["I", "II", "V1"])
    with pytest.raises(InputError, match="61 samples; expected a multiple of patch_size 10"):
        encoder(torch.randn(1, 2, 61), ["I", "II"])
