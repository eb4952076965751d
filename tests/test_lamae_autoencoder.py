"""The autoencoder: what it sees, what it is scored on, what step 0 is."""

import pytest
import torch
import torch.nn.functional as F

from lamae.autoencoder import LAMAE, AutoencoderSettings
from lamae.decoder import DecoderSettings
from lamae.encoder import EncoderSettings
from lamae.leads import INDEPENDENT_LEADS
from lamae.masking import draw_visible, hidden_patches

PATCH, PATCHES, LEAD_COUNT = 10, 8, len(INDEPENDENT_LEADS)
SETTINGS = AutoencoderSettings(
    encoder=EncoderSettings(patch_size=PATCH, width=32, depth=1, heads=4, latent_depth=1),
    decoder=DecoderSettings(width=16, depth=1, heads=2),
)


@pytest.fixture
def signal() -> torch.Tensor:
    """Four recordings of eight leads."""
    return torch.randn(4, LEAD_COUNT, PATCH * PATCHES, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def visible() -> torch.Tensor:
    """A quarter of the patches of each lead."""
    generator = torch.Generator().manual_seed(2)
    return draw_visible(4, LEAD_COUNT, PATCHES, mask_ratio=0.75, generator=generator)


def make_model(**changes: object) -> LAMAE:
    """Build a model from a fixed seed."""
    torch.manual_seed(0)
    return LAMAE(SETTINGS.model_copy(update=changes)).eval()


def hidden_samples(visible: torch.Tensor) -> torch.Tensor:
    """Return True for each sample that the encoder does not see."""
    return hidden_patches(visible, PATCHES).repeat_interleave(PATCH, dim=-1)


def test_the_prediction_does_not_depend_on_hidden_samples(
    signal: torch.Tensor, visible: torch.Tensor
) -> None:
    model = make_model()
    other = torch.where(hidden_samples(visible), torch.randn_like(signal), signal)
    ours, theirs = (model(x, INDEPENDENT_LEADS, visible=visible) for x in (signal, other))
    assert torch.equal(ours.patches, theirs.patches)
    changed = torch.where(hidden_samples(visible), signal, signal + 1)
    assert not torch.equal(model(changed, INDEPENDENT_LEADS, visible=visible).patches, ours.patches)


@pytest.mark.parametrize("norm_target", [False, True])
def test_the_loss_is_the_mean_squared_error_of_hidden_patches(
    signal: torch.Tensor, visible: torch.Tensor, norm_target: bool
) -> None:
    model = make_model(norm_target=norm_target)
    found = model(signal, INDEPENDENT_LEADS, visible=visible)
    hidden = hidden_samples(visible).reshape(4, LEAD_COUNT, PATCHES, PATCH)
    patches = signal.reshape(4, LEAD_COUNT, PATCHES, PATCH)
    if norm_target:
        scale = patches.var(dim=-1, keepdim=True).sqrt()
        patches = (patches - patches.mean(dim=-1, keepdim=True)) / scale
    expected = F.mse_loss(found.patches[hidden], patches[hidden])
    torch.testing.assert_close(found.loss, expected, atol=1e-5, rtol=1e-4)


def test_an_absent_lead_is_in_no_loss(signal: torch.Tensor, visible: torch.Tensor) -> None:
    model = make_model()
    present = torch.ones(4, LEAD_COUNT, dtype=torch.bool)
    present[1:, 3] = False
    other = signal.clone()
    other[1:, 3] = torch.randn(3, PATCH * PATCHES)
    ours, theirs = (
        model(x, INDEPENDENT_LEADS, visible=visible, present=present).loss for x in (signal, other)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("attends", ["lead", "all"])
def test_step_0_equals_the_independent_lead_autoencoder(
    signal: torch.Tensor, visible: torch.Tensor, attends: str
) -> None:
    decoder = SETTINGS.decoder.model_copy(update={"attends": attends})
    encoder = SETTINGS.encoder.model_copy(update={"latent_depth": 0})
    latent = make_model(decoder=decoder)
    independent = make_model(decoder=decoder, encoder=encoder)
    independent.load_state_dict(latent.state_dict(), strict=False)
    ours, theirs = (m(signal, INDEPENDENT_LEADS, visible=visible) for m in (latent, independent))
    assert torch.equal(ours.patches, theirs.patches)
    assert torch.equal(ours.loss, theirs.loss)


def test_at_step_0_with_a_lead_wise_decoder_no_lead_sees_another(
    signal: torch.Tensor, visible: torch.Tensor
) -> None:
    model = make_model()
    changed = signal.clone()
    changed[:, 1:] += torch.randn_like(changed[:, 1:])
    ours, theirs = (model(x, INDEPENDENT_LEADS, visible=visible) for x in (signal, changed))
    torch.testing.assert_close(ours.patches[:, 0], theirs.patches[:, 0])


def test_latent_attention_and_pooling_receive_gradients_after_one_step(
    signal: torch.Tensor, visible: torch.Tensor
) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(signal, INDEPENDENT_LEADS, visible=visible).loss.backward()
        optimizer.step()
    for name in ("encoder.latent.blocks.0.attn.qkv.weight", "encoder.pool.query"):
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        assert gradient.abs().max() > 0, name


def test_patches_turn_back_into_the_signal_they_came_from(signal: torch.Tensor) -> None:
    for norm_target in (False, True):
        model = make_model(norm_target=norm_target)
        back = model.signal_from(model.target(signal), signal)
        torch.testing.assert_close(back, signal, atol=1e-4, rtol=1e-4)


def test_permuting_named_leads_permutes_the_reconstruction(
    signal: torch.Tensor, visible: torch.Tensor
) -> None:
    model = make_model()
    order = torch.randperm(LEAD_COUNT, generator=torch.Generator().manual_seed(3))
    names = [INDEPENDENT_LEADS[i] for i in order]
    straight = model(signal, INDEPENDENT_LEADS, visible=visible)
    permuted = model(signal[:, order], names, visible=visible[:, order])
    torch.testing.assert_close(permuted.patches, straight.patches[:, order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(permuted.loss, straight.loss)
