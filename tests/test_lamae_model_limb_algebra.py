"""Limb leads by algebra, against the definitions by potentials of the limbs."""

from typing import Any

import pytest
import torch

from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask, draw_mask, hidden_patches
from lamae.model.objective.limb_algebra import limb_inconsistency, limb_leads, solve_limb_leads
from lamae.model.settings import AutoencoderSettings

B, N, P = 3, 6, 10


def recording(*, offset: float = 0.0) -> torch.Tensor:
    """Make twelve leads from potentials of right arm, left arm and foot, less one offset."""
    right, left, foot = torch.randn(3, B, N, P, generator=torch.Generator().manual_seed(0))
    centre = (right + left + foot) / 3
    limb = [left - right, foot - right, foot - left]
    limb += [1.5 * (potential - centre) for potential in (right, left, foot)]
    chest = list(torch.randn(6, B, N, P, generator=torch.Generator().manual_seed(1)))
    return torch.stack(limb + chest, dim=1) - offset


def make_mask() -> Mask:
    generator = torch.Generator().manual_seed(3)
    return draw_mask("random", batch=B, leads=12, patches=N, mask_ratio=0.5, generator=generator)


def test_any_two_known_limb_leads_give_all_six_whatever_the_offset() -> None:
    patches = recording(offset=0.7)
    for first in range(6):
        for second in range(first):
            known = torch.zeros(B, 12, N, dtype=torch.bool)
            known[:, [first, second]] = True
            solution = solve_limb_leads(patches, LEADS, known=known)
            assert solution is not None and solution.determined.all()
            torch.testing.assert_close(solution.patches, patches[:, :6], atol=1e-4, rtol=1e-4)


def test_a_time_with_fewer_than_two_known_limb_leads_is_not_determined() -> None:
    known = torch.ones(B, 12, N, dtype=torch.bool)
    known[:, :6, 2] = False
    known[:, :6, 3] = False
    known[:, 4, 3] = True
    solution = solve_limb_leads(recording(), LEADS, known=known)
    assert solution is not None
    assert solution.determined[0].tolist() == [True, True, False, False, True, True]
    assert torch.isfinite(solution.patches).all()


def test_the_solution_reads_no_hidden_patch_but_for_the_offset() -> None:
    patches = recording()
    known = ~hidden_patches(make_mask(), leads=12, patches=N)
    solution = solve_limb_leads(patches, LEADS, known=known)
    noise = torch.randn_like(patches)
    noise -= noise.mean(dim=-1, keepdim=True)  # no offset
    other = solve_limb_leads(patches + noise * ~known[..., None], LEADS, known=known)
    assert solution is not None and other is not None
    where = solution.determined[:, None, :, None].expand_as(solution.patches)
    torch.testing.assert_close(solution.patches[where], other.patches[where], atol=1e-4, rtol=1e-4)


def test_padding_does_not_pull_the_offset() -> None:
    patches = recording(offset=0.7)
    patches[:, :, 4:] = 0
    valid = torch.arange(N).expand(B, N) < 4
    known = torch.zeros(B, 12, N, dtype=torch.bool)
    known[:, [0, 5]] = True
    solution = solve_limb_leads(patches, LEADS, known=known & valid[:, None], valid=valid)
    assert solution is not None
    torch.testing.assert_close(solution.patches[:, :, :4], patches[:, :6, :4], atol=1e-4, rtol=1e-4)


def test_eight_independent_leads_have_no_algebra() -> None:
    assert limb_leads(INDEPENDENT_LEADS) is None
    patches = recording()[:, :8]
    known = torch.ones(B, 8, N, dtype=torch.bool)
    assert solve_limb_leads(patches, INDEPENDENT_LEADS, known=known) is None
    with pytest.raises(InputError, match="einthoven_weight: leads I, II, V1"):
        limb_inconsistency(patches, INDEPENDENT_LEADS, counted=known)


def test_an_error_that_obeys_the_equations_is_not_inconsistent() -> None:
    everywhere = torch.ones(B, 12, N, dtype=torch.bool)
    lawful = recording()
    found = limb_inconsistency(lawful, LEADS, counted=everywhere)
    torch.testing.assert_close(found, torch.zeros(B), atol=1e-10, rtol=0)
    lawless = lawful.clone()
    lawless[:, 2] += 2.0  # III, one of four dependent leads
    found = limb_inconsistency(lawless, LEADS, counted=everywhere)
    torch.testing.assert_close(found, torch.full((B,), 2.0**2 / 4))


def test_the_order_of_the_leads_does_not_matter_to_whether_the_equations_hold() -> None:
    order = [8, 5, 0, 3, 11, 1, 2, 4]
    names = [LEADS[i] for i in order]
    everywhere = torch.ones(B, len(order), N, dtype=torch.bool)
    found = limb_inconsistency(recording()[:, order], names, counted=everywhere)
    torch.testing.assert_close(found, torch.zeros(B), atol=1e-10, rtol=0)


def test_only_times_with_a_hidden_limb_lead_are_asked_and_visible_patches_have_no_error() -> None:
    counted = torch.zeros(B, 12, N, dtype=torch.bool)
    counted[:, 2, 1] = True
    difference = torch.full((B, 12, N, P), 5.0)
    found = limb_inconsistency(difference, LEADS, counted=counted)
    torch.testing.assert_close(found, torch.full((B,), 25.0 / 4))


def make_model(**changes: Any) -> LAMAE:
    encoder = {"patch_size": P, "width": 16, "depth": 1, "heads": 2}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    torch.manual_seed(0)
    values = {"encoder": encoder, "decoder": decoder, **changes}
    return LAMAE(AutoencoderSettings.model_validate(values))


@pytest.mark.parametrize("norm_target", [False, True])
def test_the_penalty_of_the_model_is_that_of_its_reconstructed_signal(norm_target: bool) -> None:
    signal = recording(offset=0.3).flatten(2)
    mask = make_mask()
    model = make_model(norm_target=norm_target, einthoven_weight=2.0).eval()
    with torch.no_grad():
        found = model(signal, LEADS, mask=mask)
        drawn = model.signal_from(found.patches, signal)
    samples = found.hidden.repeat_interleave(P, dim=2)
    leads = torch.where(samples, drawn, signal) + 0.3
    one, two, three, right, left, foot = leads[:, :6].unbind(1)
    residuals = torch.stack(
        [three - two + one, right + (one + two) / 2, left - one + two / 2, foot - two + one / 2]
    )
    asked = samples[:, :6].any(dim=1)
    each = [residuals[:, row, asked[row]].square().mean() for row in range(B)]
    counts = found.hidden.sum(dim=(1, 2))
    expected = 2 * (torch.stack(each) * counts / counts.sum()).sum()
    torch.testing.assert_close(found.loss - found.error, expected, atol=1e-4, rtol=1e-3)


def test_training_with_the_penalty_makes_the_reconstruction_more_lawful() -> None:
    signal = recording().flatten(2)
    mask = make_mask()
    departures = {}
    for weight in (0.0, 10.0):
        model = make_model(norm_target=False, einthoven_weight=weight)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(60):
            optimizer.zero_grad()
            found = model(signal, LEADS, mask=mask)
            found.loss.backward()
            optimizer.step()
        difference = found.patches.detach() - model.target(signal)
        law = limb_inconsistency(difference, LEADS, counted=found.hidden)
        departures[weight] = law.mean().item()
    assert departures[10.0] < 0.8 * departures[0.0]
