"""Features as targets: what enters the loss, and what decides their scale."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lamae.ecg.leads import INDEPENDENT_LEADS
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask, draw_mask
from lamae.model.pooling import mean_over_patches
from lamae.model.recorded import WHOLE, Recorded
from lamae.model.settings import AutoencoderSettings

PATCH, PATCHES, LEAD_COUNT = 10, 8, len(INDEPENDENT_LEADS)
SIZES: dict[str, Any] = {
    "encoder": {"patch_size": PATCH, "width": 32, "depth": 1, "heads": 4, "latent_depth": 1},
    "decoder": {"width": 16, "depth": 1, "heads": 2, "attends": "all"},
}
KERNELS = {"count": 3, "dilations": (1, 2), "quantiles": (0.5,)}


def make_model(**changes: Any) -> LAMAE:
    """Build a model with features as targets; `changes` are of the features."""
    torch.manual_seed(0)
    sizes = SIZES | {"encoder": SIZES["encoder"] | {"millivolts": True}}
    features = {"kernels": KERNELS, **changes}
    return LAMAE(AutoencoderSettings.model_validate(sizes | {"features": features})).eval()


def signal_of(seed: int, recordings: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(recordings, LEAD_COUNT, PATCH * PATCHES, generator=generator)


def mask_of(share: float = 1.0, *, kind: str = "random") -> Mask:
    generator = torch.Generator().manual_seed(2)
    shape: dict[str, Any] = {"batch": 4, "leads": LEAD_COUNT, "patches": PATCHES}
    return draw_mask(kind, mask_ratio=0.75, generator=generator, decode_share=share, **shape)  # type: ignore[arg-type]


def call(model: LAMAE, signal: torch.Tensor, mask: Mask, recorded: Recorded = WHOLE) -> Any:
    return model(signal, INDEPENDENT_LEADS, mask=mask, recorded=recorded)


def test_statistics_make_targets_that_are_z_scored_and_weights_keep_them() -> None:
    model = make_model(patch_weight=1.0, lead_weight=1.0)
    signal = signal_of(1, recordings=64)
    model.set_statistics(signal, None)
    assert model.features is not None
    targets = model.features.targets(model.encoder.scaled(signal, WHOLE), None)
    for values in (targets.patches.flatten(0, 2), targets.leads.flatten(0, 1)):
        torch.testing.assert_close(
            values.mean(dim=0), torch.zeros(values.shape[1]), atol=1e-4, rtol=0
        )
        torch.testing.assert_close(
            values.std(dim=0), torch.ones(values.shape[1]), atol=1e-3, rtol=0
        )
    other = make_model(patch_weight=1.0, lead_weight=1.0)
    other.load_state_dict(model.state_dict())
    assert other.features is not None
    again = other.features.targets(other.encoder.scaled(signal, WHOLE), None)
    assert torch.equal(again.patches, targets.patches) and torch.equal(again.leads, targets.leads)


def test_the_loss_is_that_of_samples_and_of_features_by_their_weights() -> None:
    signal, mask = signal_of(1), mask_of()
    model = make_model(patch_weight=0.5, token_weight=3.0, lead_weight=2.0)
    model.set_statistics(signal, None)
    found = call(model, signal, mask)
    features = model.features
    assert features is not None
    targets = features.targets(model.encoder.scaled(signal, WHOLE), None)
    by_lead = features.predict_lead(mean_over_patches(found.latents)) - targets.leads
    tokens = model.decoder(found.latents, INDEPENDENT_LEADS, PATCHES, mask=mask).tokens
    by_patch = (features.predict_patch(tokens) - targets.patches)[found.hidden]
    where = mask.visible[..., None].expand(-1, -1, -1, targets.patches.shape[-1])
    own = features.predict_token(found.latents.tokens[:, :, 1:]) - targets.patches.gather(2, where)
    expected = found.error + 0.5 * by_patch.square().mean() + 2.0 * by_lead.square().mean()
    expected = expected + 3.0 * own.square().mean()
    torch.testing.assert_close(found.loss, expected)


def test_decoding_all_hidden_patches_is_decoding_all() -> None:
    signal, mask = signal_of(1), mask_of()
    model = make_model(patch_weight=1.0)
    model.set_statistics(signal, None)
    whole = call(model, signal, mask)
    every = whole.hidden.nonzero()[:, 2].view(4, LEAD_COUNT, -1)
    parts = call(model, signal, mask._replace(decoded=every))
    torch.testing.assert_close(parts.loss, whole.loss)
    torch.testing.assert_close(parts.patches[whole.hidden], whole.patches[whole.hidden])


def test_only_decoded_patches_enter_the_loss() -> None:
    signal, mask = signal_of(1), mask_of(0.34)
    assert mask.decoded is not None and mask.decoded.shape == (4, LEAD_COUNT, 2)
    model = make_model(patch_weight=1.0)
    model.set_statistics(signal, None)
    found = call(model, signal, mask)
    counted = torch.zeros_like(found.hidden).scatter(2, mask.decoded, True)
    assert not (counted & ~found.hidden).any()
    target = model.target(signal)
    expected = (found.patches - target)[counted].square().mean()
    torch.testing.assert_close(found.error, expected)


def test_an_absent_lead_is_in_no_loss_of_features() -> None:
    signal, mask = signal_of(1), mask_of()
    present = torch.ones(4, LEAD_COUNT, dtype=torch.bool)
    present[:, 3] = False
    model = make_model(patch_weight=1.0, token_weight=1.0, lead_weight=1.0)
    model.set_statistics(signal, None)
    other = signal.clone()
    other[:, 3] = 5.0
    losses = [
        call(model, x * present[..., None], mask, Recorded(present)).loss for x in (signal, other)
    ]
    assert losses[0] == losses[1]


def test_whole_leads_can_be_hidden_beside_features() -> None:
    signal, mask = signal_of(1), mask_of(kind="lead")
    model = make_model(patch_weight=1.0, token_weight=1.0, lead_weight=1.0)
    model.set_statistics(signal, None)
    assert call(model, signal, mask).loss.isfinite()


def test_without_features_an_autoencoder_is_what_it_was() -> None:
    torch.manual_seed(0)
    plain = LAMAE(AutoencoderSettings.model_validate(SIZES))
    assert not any("features" in name for name in plain.state_dict())
    plain.set_statistics(signal_of(1), None)
    mask = mask_of()
    found = call(plain, signal_of(1), mask)
    torch.testing.assert_close(found.loss, found.error)


def test_millivolts_need_a_target_without_scale() -> None:
    encoder = SIZES["encoder"] | {"millivolts": True}
    with pytest.raises(ValidationError, match="norm_target"):
        AutoencoderSettings.model_validate({"encoder": encoder, "norm_target": False})
