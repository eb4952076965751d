"""Masks: a fixed count for each lead, drawn independently."""

import torch

from lamae.masking import draw_visible, hidden_patches, visible_count


def test_every_lead_keeps_the_same_number_of_distinct_patches() -> None:
    visible = draw_visible(50, 8, 20, mask_ratio=0.75, generator=torch.Generator().manual_seed(0))
    assert visible.shape == (50, 8, 5)
    assert (visible.diff(dim=-1) > 0).all()
    assert (hidden_patches(visible, 20).sum(dim=-1) == 15).all()


def test_leads_are_masked_independently_and_uniformly() -> None:
    generator = torch.Generator().manual_seed(0)
    visible = draw_visible(4000, 2, 10, mask_ratio=0.5, generator=generator)
    seen = ~hidden_patches(visible, 10)
    share = seen.float().mean(dim=0)
    assert (share - 0.5).abs().max() < 0.05
    both = (seen[:, 0] & seen[:, 1]).float().mean()
    assert abs(both.item() - 0.25) < 0.02


def test_a_mask_hides_and_shows_at_least_one_patch() -> None:
    assert visible_count(4, 0.999) == 1
    assert visible_count(4, 0.001) == 3


def test_equal_seeds_draw_equal_masks_and_others_do_not() -> None:
    first, again, other = (
        draw_visible(4, 8, 20, mask_ratio=0.75, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
