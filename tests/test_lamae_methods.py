"""The four methods that are compared: what each lets leads see, and what all have in common."""

from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError

from lamae.autoencoder import LAMAE, AutoencoderSettings, Reconstruction
from lamae.encoder import Method
from lamae.leads import LEADS
from lamae.masking import Mask, MaskKind, draw_mask, valid_patches
from lamae.parameters import parameter_report

PATCH, PATCHES, BATCH = 10, 8, 4
METHODS: tuple[Method, ...] = get_args(Method)
KINDS: tuple[MaskKind, ...] = get_args(MaskKind)
KEPT = [0, 1, 4, 7, 11]


def make_model(**changes: Any) -> LAMAE:
    """Build a model in which every part has weights that matter, from a fixed seed."""
    encoder = {"patch_size": PATCH, "width": 32, "depth": 1, "heads": 4, "latent_depth": 2}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    encoder |= changes.pop("encoder", {})
    decoder |= changes.pop("decoder", {})
    torch.manual_seed(0)
    values = {"encoder": encoder, "decoder": decoder, **changes}
    model = LAMAE(AutoencoderSettings.model_validate(values)).eval()
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def make_signal() -> torch.Tensor:
    return torch.randn(BATCH, 12, PATCH * PATCHES, generator=torch.Generator().manual_seed(1))


def make_mask(kind: MaskKind = "random", **given: Any) -> Mask:
    return draw_mask(
        kind,
        batch=BATCH,
        leads=12,
        patches=PATCHES,
        mask_ratio=0.75,
        generator=torch.Generator().manual_seed(2),
        **given,
    )


def run(model: LAMAE, signal: torch.Tensor, mask: Mask, **given: Any) -> Reconstruction:
    with torch.no_grad():
        return model(signal, LEADS, visible=mask.visible, seen=mask.seen, **given)


def test_the_default_computes_what_it_did_before_there_were_other_methods() -> None:
    """Numbers of commit d316495, for weights, a signal and masks of fixed seeds."""
    torch.manual_seed(0)
    encoder = {"patch_size": PATCH, "width": 32, "depth": 1, "heads": 4, "latent_depth": 1}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    settings = AutoencoderSettings.model_validate({"encoder": encoder, "decoder": decoder})
    model = LAMAE(settings).eval()
    found = run(model, make_signal(), make_mask())
    expected = [-0.21161223948001862, -0.6055330038070679, -0.19992700219154358]
    torch.testing.assert_close(found.patches[1, 2, 3, :3], torch.tensor(expected))
    expected = [1.0243908166885376, -0.3213125467300415, -0.11882651597261429]
    torch.testing.assert_close(found.latents.embedding[2, :3], torch.tensor(expected))
    assert found.loss.item() == pytest.approx(1.8790361881256104, rel=1e-5)
    assert found.error.item() == found.loss.item()
    assert sum(p.numel() for p in model.parameters()) == 32746


def test_whole_leads_are_not_hidden_where_nothing_could_draw_them() -> None:
    values = {"encoder": {"method": "independent"}, "masking": {"lead": 1}}
    with pytest.raises(ValidationError, match="attends to all"):
        AutoencoderSettings.model_validate(values)
    AutoencoderSettings.model_validate(values | {"decoder": {"attends": "all"}})


def test_settings_of_an_earlier_version_are_those_of_lamae() -> None:
    before = {"encoder": {"width": 32, "heads": 4}, "mask_ratio": 0.5}
    settings = AutoencoderSettings.model_validate(before)
    assert settings.encoder.method == "lamae"
    assert (settings.masking.random, settings.masking.tube, settings.masking.lead) == (1, 0, 0)
    assert not settings.einthoven_weight


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(192, 12, 3, 128), (384, 12, 6, 256), (768, 12, 12, 384)])
def test_all_methods_have_equally_many_parameters(
    method: Method, size: tuple[int, int, int, int]
) -> None:
    width, depth, heads, narrow = size
    encoder = {"width": width, "depth": depth, "heads": heads, "method": method}
    decoder = {"width": narrow, "depth": 4, "heads": 4}
    with torch.device("meta"):
        settings = AutoencoderSettings.model_validate({"encoder": encoder, "decoder": decoder})
        report = parameter_report(LAMAE(settings))

    def blocks(width: int, depth: int) -> int:
        attention, mlp, norms = 4 * width**2 + 4 * width, 8 * width**2 + 5 * width, 4 * width
        return depth * (attention + mlp + norms)

    stem, cls, norm = 50 * width + width, width, 2 * width
    pool = 2 * (width**2 + width) + width
    names_of_leads = 12 * width if method == "joint" else 0
    assert report["encoder"] == (
        stem + cls + norm + pool + blocks(width, depth + 2) + names_of_leads
    )
    inputs = 2 * (width * narrow + narrow) + narrow + 12 * narrow
    output = 2 * narrow + narrow * 50 + 50
    assert report["decoder"] == inputs + blocks(narrow, 4) + output
    assert report["total"] == report["encoder"] + report["decoder"]
    assert names_of_leads / report["total"] < 0.0004


@pytest.mark.parametrize("method", METHODS)
def test_leads_meet_in_the_autoencoder_of_those_methods_alone_that_say_so(method: Method) -> None:
    model = make_model(encoder={"method": method})
    signal, mask = make_signal(), make_mask()
    changed = signal.clone()
    changed[:, 1:] += torch.randn_like(changed[:, 1:])
    ours, theirs = (run(model, x, mask) for x in (signal, changed))
    apart = torch.allclose(ours.patches[:, 0], theirs.patches[:, 0], atol=1e-5)
    assert apart == (method in ("independent", "alignment"))
    assert not torch.allclose(ours.latents.embedding, theirs.latents.embedding, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_cls_token_of_a_lead_is_its_own(method: Method) -> None:
    latents = run(make_model(encoder={"method": method}), make_signal(), make_mask()).latents
    assert latents.tokens[:, :, 0].std(dim=1).mean() > 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_a_whole_batch_of_finite_gradients_reaches_every_parameter(
    method: Method, kind: MaskKind
) -> None:
    decoder = {"attends": "all" if kind == "lead" else "lead"}
    model = make_model(encoder={"method": method}, decoder=decoder, einthoven_weight=0.1)
    mask = make_mask(kind)
    model(make_signal(), LEADS, visible=mask.visible, seen=mask.seen).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("attends", ["lead", "all"])
@pytest.mark.parametrize("method", METHODS)
def test_absent_leads_are_as_if_they_were_not_there(method: Method, attends: str) -> None:
    model = make_model(encoder={"method": method}, decoder={"attends": attends})
    signal, mask = make_signal(), make_mask()
    present = torch.zeros(BATCH, 12, dtype=torch.bool)
    present[:, KEPT] = True
    noisy = torch.where(present[..., None], signal, 100 * torch.randn_like(signal))
    whole = run(model, noisy, mask, present=present)
    with torch.no_grad():
        fewer = model(signal[:, KEPT], [LEADS[i] for i in KEPT], visible=mask.visible[:, KEPT])
    for ours, theirs in (
        (whole.loss, fewer.loss),
        (whole.patches[:, KEPT], fewer.patches),
        (whole.latents.tokens[:, KEPT], fewer.latents.tokens),
        (whole.latents.embedding, fewer.latents.embedding),
        (whole.latents.lead_weights[:, KEPT], fewer.latents.lead_weights),
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert not whole.latents.lead_weights[~present].any()


@pytest.mark.parametrize("method", METHODS)
def test_recordings_with_other_leads_share_a_batch_without_a_trace(method: Method) -> None:
    model = make_model(encoder={"method": method})
    signal, mask = make_signal(), make_mask()
    present = torch.rand(BATCH, 12, generator=torch.Generator().manual_seed(5)) < 0.6
    together = run(model, signal, mask, present=present)
    for row in range(BATCH):
        leads = [lead for lead, has in zip(LEADS, present[row], strict=True) if has]
        with torch.no_grad():
            alone = model(
                signal[row : row + 1, present[row]],
                leads,
                visible=mask.visible[row : row + 1, present[row]],
            )
        torch.testing.assert_close(
            together.latents.embedding[row], alone.latents.embedding[0], atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(
            together.patches[row, present[row]], alone.patches[0], atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("attends", ["lead", "all"])
@pytest.mark.parametrize("method", METHODS)
def test_padding_is_as_if_the_window_ended_before_it(method: Method, attends: str) -> None:
    model = make_model(
        encoder={"method": method}, decoder={"attends": attends}, einthoven_weight=0.1
    )
    recorded = 5
    signal = make_signal()
    samples = torch.full((BATCH,), recorded * PATCH + PATCH // 2)
    valid = valid_patches(samples, patches=PATCHES, patch_size=PATCH)
    mask = make_mask(valid=valid)
    inside = int((mask.visible[0, 0] < recorded).sum())
    assert inside < mask.visible.shape[2]
    whole = run(model, signal, mask, valid=valid)
    cut = run(model, signal[..., : recorded * PATCH], Mask(mask.visible[..., :inside]))
    for ours, theirs in (
        (whole.loss, cut.loss),
        (whole.error, cut.error),
        (whole.patches[:, :, :recorded], cut.patches),
        (whole.latents.tokens[:, :, : 1 + inside], cut.latents.tokens),
        (whole.latents.embedding, cut.latents.embedding),
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_prediction_does_not_depend_on_leads_that_are_hidden_whole(method: Method) -> None:
    model = make_model(encoder={"method": method}, decoder={"attends": "all"})
    signal, mask = make_signal(), make_mask("lead")
    assert mask.seen is not None
    shown = torch.zeros(BATCH, 12, dtype=torch.bool).scatter(1, mask.seen, True)
    other = torch.where(shown[..., None], signal, torch.randn_like(signal))
    ours, theirs = (run(model, x, mask) for x in (signal, other))
    assert torch.equal(ours.patches, theirs.patches)
    assert torch.equal(ours.hidden, (~shown)[..., None].expand_as(ours.hidden))


@pytest.mark.parametrize("method", METHODS)
def test_an_absent_lead_that_fills_the_count_of_whole_leads_changes_nothing(
    method: Method,
) -> None:
    model = make_model(encoder={"method": method}, decoder={"attends": "all"})
    present = torch.zeros(BATCH, 12, dtype=torch.bool)
    present[:, [1, 8]] = True
    signal, mask = make_signal(), make_mask("lead", present=present)
    assert mask.seen is not None and mask.seen.shape[1] == 3
    other = torch.where(present[..., None], signal, 100 * torch.randn_like(signal))
    ours, theirs = (run(model, x, mask, present=present) for x in (signal, other))
    torch.testing.assert_close(ours.patches[present], theirs.patches[present])
    torch.testing.assert_close(ours.latents.embedding, theirs.latents.embedding)


@pytest.mark.parametrize("method", METHODS)
def test_seeing_every_lead_by_number_is_seeing_every_lead(method: Method) -> None:
    model = make_model(encoder={"method": method, "lead_embedding": True})
    signal, mask = make_signal(), make_mask()
    numbered = Mask(mask.visible, torch.arange(12).expand(BATCH, 12))
    ours, theirs = run(model, signal, mask), run(model, signal, numbered)
    torch.testing.assert_close(ours.patches, theirs.patches)
    torch.testing.assert_close(ours.loss, theirs.loss)


@pytest.mark.parametrize("method", METHODS)
def test_parts_weighted_by_their_counted_patches_make_up_the_loss_of_a_batch(
    method: Method,
) -> None:
    model = make_model(encoder={"method": method}, einthoven_weight=0.5)
    signal = make_signal()
    present = torch.ones(BATCH, 12, dtype=torch.bool)
    present[0, 3:] = False
    valid = valid_patches(torch.tensor([80, 55, 80, 30]), patches=PATCHES, patch_size=PATCH)
    mask = make_mask(valid=valid)
    whole = run(model, signal, mask, present=present, valid=valid)
    losses, counts = [], []
    for rows in (torch.tensor([0, 1, 2]), torch.tensor([3])):
        given = {"present": present[rows], "valid": valid[rows]}
        part = run(model, signal[rows], mask.take(rows), **given)
        losses.append(part.loss)
        counts.append((part.hidden & present[rows, :, None] & valid[rows, None]).sum())
    weighted = sum(loss * count for loss, count in zip(losses, counts, strict=True))
    torch.testing.assert_close(weighted / sum(counts), whole.loss)


def test_a_batch_without_a_counted_patch_has_loss_zero_and_no_gradient() -> None:
    model = make_model()
    signal, mask = make_signal(), make_mask()
    valid = torch.zeros(BATCH, PATCHES, dtype=torch.bool)
    loss = model(signal, LEADS, visible=mask.visible, valid=valid).loss
    loss.backward()
    assert loss.item() == 0
    for parameter in model.parameters():
        assert parameter.grad is not None and not parameter.grad.any()
