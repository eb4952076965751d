"""Masks: a fixed count for each kind, and a draw that the generator alone decides."""

from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.model.masking import (
    Mask,
    counted_patches,
    draw_kind,
    draw_mask,
    hidden_patches,
    visible_count,
)
from lamae.model.recorded import Recorded, valid_patches
from lamae.model.settings import MaskingSettings, MaskKind

KINDS: tuple[MaskKind, ...] = get_args(MaskKind)
RATIOS = st.floats(0.01, 0.99)


def draw(kind: MaskKind, *, seed: int = 0, **changes: Any) -> Mask:
    """Draw masks of fifty recordings of 12 leads and 20 patches, or others."""
    shape: dict[str, Any] = {"batch": 50, "leads": 12, "patches": 20, "mask_ratio": 0.75}
    return draw_mask(kind, generator=torch.Generator().manual_seed(seed), **shape | changes)


def hidden_of(mask: Mask, *, leads: int = 12, patches: int = 20) -> torch.Tensor:
    return hidden_patches(mask, leads=leads, patches=patches)


def test_every_lead_keeps_the_same_number_of_distinct_patches() -> None:
    mask = draw("random", leads=8)
    assert mask.visible.shape == (50, 8, 5)
    assert (mask.visible.diff(dim=-1) > 0).all()
    assert (hidden_of(mask, leads=8).sum(dim=-1) == 15).all()


def test_leads_are_masked_independently_and_uniformly() -> None:
    mask = draw("random", batch=4000, leads=2, patches=10, mask_ratio=0.5)
    seen = ~hidden_of(mask, leads=2, patches=10)
    share = seen.float().mean(dim=0)
    assert (share - 0.5).abs().max() < 0.05
    both = (seen[:, 0] & seen[:, 1]).float().mean()
    assert abs(both.item() - 0.25) < 0.02


def test_a_mask_hides_and_shows_at_least_one_patch() -> None:
    assert visible_count(4, 0.999) == 1
    assert visible_count(4, 0.001) == 3


def test_equal_seeds_draw_equal_masks_and_others_do_not() -> None:
    first, again, other = (draw("random", seed=seed).visible for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_random_masks_are_those_that_were_drawn_before_there_were_other_kinds() -> None:
    noise = torch.rand(50, 12, 20, generator=torch.Generator().manual_seed(0))
    expected = noise.argsort(dim=-1)[..., :5].sort(dim=-1).values
    assert torch.equal(draw("random").visible, expected)
    assert draw("random").seen is None


def test_a_tube_hides_the_same_patches_in_all_leads_and_others_in_each_recording() -> None:
    visible = draw("tube").visible
    assert (visible == visible[:, :1]).all()
    assert len(torch.unique(visible[:, 0], dim=0)) > 40


def test_whole_leads_are_hidden_or_seen_in_full_and_each_as_often() -> None:
    mask = draw("lead", batch=4000)
    hidden = hidden_of(mask)
    assert (hidden.all(dim=-1) | ~hidden.any(dim=-1)).all()
    assert (hidden[..., 0].sum(dim=1) == 9).all()
    assert (hidden[..., 0].float().mean(dim=0) - 0.75).abs().max() < 0.03


@given(
    kind=st.sampled_from(KINDS),
    leads=st.integers(2, 12),
    patches=st.integers(2, 60),
    ratio=RATIOS,
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_the_count_of_each_kind_depends_on_no_draw_lead_or_padding(
    kind: MaskKind, leads: int, patches: int, ratio: float, seed: int, data: st.DataObject
) -> None:
    rows = st.lists(st.booleans(), min_size=leads, max_size=leads)
    present = torch.tensor([data.draw(rows) for _ in range(3)])
    lengths = torch.tensor([data.draw(st.integers(0, patches)) for _ in range(3)])
    valid = torch.arange(patches) < lengths[:, None]
    shape = {"batch": 3, "leads": leads, "patches": patches}
    mask = draw(kind, seed=seed, mask_ratio=ratio, recorded=Recorded(present, valid), **shape)
    seen = mask.visible.shape[1]
    if kind == "lead":
        assert mask.seen is not None and seen == visible_count(leads, ratio)
        assert mask.visible.shape == (3, seen, patches)
        assert (mask.seen.diff(dim=-1) > 0).all()
        missed = ~torch.zeros(3, leads, dtype=torch.bool).scatter(1, mask.seen, True)
        skipped = (missed & present).any(dim=1)
        absent_seen = (~present.gather(1, mask.seen)).any(dim=1)
        assert not (skipped & absent_seen).any()  # no absent lead takes the place of a present one
    else:
        assert mask.seen is None
        assert mask.visible.shape == (3, leads, visible_count(patches, ratio))
    assert (mask.visible.diff(dim=-1) > 0).all()
    assert mask.visible.min() >= 0 and mask.visible.max() < patches


@given(patches=st.integers(2, 60), ratio=RATIOS, data=st.data())
def test_of_a_recording_with_padding_the_same_share_is_visible_as_of_a_shorter_one(
    patches: int, ratio: float, data: st.DataObject
) -> None:
    recorded = data.draw(st.integers(2, patches))
    valid = (torch.arange(patches) < recorded)[None]
    whole = Recorded(valid=valid)
    mask = draw("random", batch=1, patches=patches, mask_ratio=ratio, recorded=whole)
    inside = (mask.visible < recorded).sum(dim=-1)
    assert (inside == visible_count(recorded, ratio)).all()
    counted = counted_patches(hidden_of(mask, patches=patches), whole)
    assert (counted.sum(dim=-1) == recorded - inside).all()
    assert not counted[..., recorded:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_draw_is_that_of_the_generator_and_of_no_global_state(kind: MaskKind) -> None:
    torch.manual_seed(1)
    first = draw(kind)
    before = torch.get_rng_state()
    torch.manual_seed(2)
    again, other = draw(kind), draw(kind, seed=1)
    torch.manual_seed(1)
    draw(kind)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(hidden_of(first), hidden_of(again))
    assert not torch.equal(hidden_of(first), hidden_of(other))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_absent_or_padding_takes_no_other_numbers_from_the_generator(
    kind: MaskKind,
) -> None:
    states = []
    for given_masks in ({}, {"recorded": Recorded(torch.zeros(50, 12, dtype=torch.bool))}):
        generator = torch.Generator().manual_seed(0)
        shape = {"batch": 50, "leads": 12, "patches": 20, "mask_ratio": 0.75}
        draw_mask(kind, generator=generator, **shape, **given_masks)  # type: ignore[arg-type]
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_kinds_are_drawn_as_often_as_their_weights_say() -> None:
    settings = MaskingSettings(random=2, tube=1, lead=1)
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_kind(settings, generator) for _ in range(2000)]
    for kind, share in (("random", 0.5), ("tube", 0.25), ("lead", 0.25)):
        assert drawn.count(kind) / 2000 == pytest.approx(share, abs=0.04)  # type: ignore[arg-type]
    again = torch.Generator().manual_seed(0)
    assert [draw_kind(settings, again) for _ in range(20)] == drawn[:20]


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_kind_is_not_drawn(kind: MaskKind) -> None:
    weights = dict.fromkeys(KINDS, 0.0) | {kind: 3.0}
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert draw_kind(MaskingSettings(**weights), generator) == kind
    assert torch.equal(generator.get_state(), before)


def test_no_kind_at_all_and_a_lead_without_another_are_refused() -> None:
    with pytest.raises(ValidationError, match="one of random, tube and lead"):
        MaskingSettings(random=0)
    with pytest.raises(InputError, match="hide whole leads: 1 lead; expected at least two"):
        draw("lead", leads=1)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_of_parts_are_parts_of_the_masks(kind: MaskKind) -> None:
    mask, rows = draw(kind), torch.tensor([3, 1, 40])
    part = mask.take(rows).to(torch.device("cpu"))
    assert torch.equal(hidden_of(part), hidden_of(mask)[rows])


def test_hidden_is_what_no_lead_that_is_seen_shows() -> None:
    visible = torch.tensor([[[0, 2], [1, 3]]])
    found = hidden_patches(Mask(visible, torch.tensor([[0, 2]])), leads=3, patches=4)
    expected = [[False, True, False, True], [True] * 4, [True, False, True, False]]
    assert found.tolist() == [expected]


@pytest.mark.parametrize(("seconds", "recorded"), [(10.0, 20), (7.3, 14), (7.5, 15), (0.4, 0)])
def test_patches_of_a_short_recording_are_valid_up_to_its_last_whole_patch(
    seconds: float, recorded: int
) -> None:
    rate, gain, baseline = 200, (200.0,) * 12, (0,) * 12
    noise = np.random.default_rng(0).integers(-500, 500, (12, round(seconds * rate)))
    record = Record("r", noise.astype(np.int16), LEADS, rate, gain, baseline)
    prepared = Preprocessor(sampling_rate=100, band_hz=None)(record)
    assert prepared.samples == round(seconds * 100)
    assert prepared.signal[:, prepared.samples - 1].any()
    assert not prepared.signal[:, prepared.samples :].any()
    valid = valid_patches(torch.tensor([prepared.samples]), patches=20, patch_size=50)
    assert valid[0].tolist() == [True] * recorded + [False] * (20 - recorded)
    assert all(first >= second for first, second in pairwise(valid[0].tolist()))


@pytest.mark.parametrize("kind", ["random", "tube", "lead"])
def test_the_masks_of_some_recordings_are_those_of_the_whole_batch(kind: MaskKind) -> None:
    rows = torch.tensor([5, 0, 3])
    present = torch.rand(6, 8, generator=torch.Generator().manual_seed(1)) < 0.7
    valid = torch.arange(10) < torch.tensor([10, 4, 7, 5, 10, 6])[:, None]

    def draw(rows: torch.Tensor | None, of: slice | torch.Tensor) -> Mask:
        return draw_mask(
            kind,
            batch=6,
            leads=8,
            patches=10,
            mask_ratio=0.5,
            generator=torch.Generator().manual_seed(0),
            rows=rows,
            recorded=Recorded(present[of], valid[of]),
        )

    some, all_ = draw(rows, rows), draw(None, slice(None)).take(rows)
    assert torch.equal(some.visible, all_.visible)
    assert (some.seen is None) == (kind != "lead")
    if some.seen is not None and all_.seen is not None:
        assert torch.equal(some.seen, all_.seen)
