"""The alignment of leads: MVMAE's formula, written out over pairs."""

import pytest
import torch

from lamae.ecg.leads import LEADS
from lamae.model.autoencoder import LAMAE
from lamae.model.encoder import Latents
from lamae.model.masking import Mask
from lamae.model.objective.lead_alignment import alignment_share, misalignment
from lamae.model.settings import AutoencoderSettings

B, L, T, D = 3, 5, 4, 8


def make_latents(*, valid: torch.Tensor | None = None, present: torch.Tensor) -> Latents:
    tokens = torch.randn(B, L, T, D, generator=torch.Generator().manual_seed(0))
    weights = present / present.sum(dim=1, keepdim=True)
    each = tokens.mean(dim=2)
    return Latents(tokens, (weights[..., None] * each).sum(dim=1), weights, each, valid)


def test_it_is_the_mean_squared_difference_of_all_pairs_of_present_leads() -> None:
    present = torch.ones(B, L, dtype=torch.bool)
    present[0, 1] = present[2, 3:] = False
    valid = torch.ones(B, L, T, dtype=torch.bool)
    valid[1, :, 2:] = False
    latents = make_latents(valid=valid, present=present)
    found = misalignment(latents)
    for row in range(B):
        views = []
        for lead in range(L):
            if present[row, lead]:
                mean = latents.tokens[row, lead][valid[row, lead]].mean(dim=0)
                views.append(mean / mean.norm())
        pairs = [(one - other).square().mean() for one in views for other in views]
        torch.testing.assert_close(found[row], torch.stack(pairs).mean())


def test_it_is_zero_for_equal_leads_and_at_most_2_over_the_width() -> None:
    present = torch.ones(B, L, dtype=torch.bool)
    latents = make_latents(present=present)
    equal = latents._replace(tokens=latents.tokens[:, :1].expand(B, L, T, D))
    torch.testing.assert_close(misalignment(equal), torch.zeros(B))
    assert (misalignment(latents) > 0).all()
    opposed = torch.stack([torch.ones(B, T, D), -torch.ones(B, T, D)], dim=1)
    latents = latents._replace(tokens=opposed, lead_weights=torch.full((B, 2), 0.5))
    torch.testing.assert_close(misalignment(latents), torch.full((B,), 2 / D))


def test_the_weight_rises_from_none_to_all_over_the_steps_behind_the_warm_up() -> None:
    shares = [alignment_share(step, steps=100, warmup_steps=20) for step in range(101)]
    assert shares[0] == shares[20] < 0.01
    assert shares[100] > 0.99
    assert shares[60] == pytest.approx(0.5)
    assert shares == sorted(shares)


def test_the_loss_holds_the_weighted_term_and_the_error_does_not() -> None:
    encoder = {"patch_size": 10, "width": 16, "depth": 1, "heads": 2, "method": "alignment"}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    values = {"encoder": encoder, "decoder": decoder, "alignment_weight": 3.0}
    torch.manual_seed(0)
    model = LAMAE(AutoencoderSettings.model_validate(values)).eval()
    signal = torch.randn(2, 12, 40)
    mask = Mask(torch.tensor([1, 3]).expand(2, 12, 2))
    half = torch.tensor(0.5)
    with torch.no_grad():
        whole = model(signal, LEADS, mask=mask)
        less = model(signal, LEADS, mask=mask, alignment_share=half)
    term = misalignment(whole.latents).mean()
    assert term > 0
    torch.testing.assert_close(whole.loss, whole.error + 3 * term)
    torch.testing.assert_close(less.loss, less.error + 1.5 * term)
    torch.testing.assert_close(whole.error, less.error)


def test_training_on_it_draws_leads_together() -> None:
    encoder = {"patch_size": 10, "width": 16, "depth": 1, "heads": 2, "method": "alignment"}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    values = {"encoder": encoder, "decoder": decoder, "alignment_weight": 100.0}
    torch.manual_seed(0)
    model = LAMAE(AutoencoderSettings.model_validate(values))
    signal = torch.randn(8, 12, 40)
    mask = Mask(torch.tensor([1, 3]).expand(8, 12, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    terms = []
    for _ in range(20):
        optimizer.zero_grad()
        found = model(signal, LEADS, mask=mask)
        found.loss.backward()
        optimizer.step()
        terms.append(misalignment(found.latents).mean().item())
    assert terms[-1] < terms[0] / 2
