"""Masks: the patches that an encoder sees, a fixed count for each kind, so that shapes are static.

`visible` is MAE's ids_keep, kept in rising order instead of its ids_restore; `hidden` is its mask.
"""

from typing import NamedTuple

import torch
from einops import repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lamae.errors import InputError
from lamae.model.recorded import WHOLE, Recorded
from lamae.model.settings import MaskingSettings, MaskKind


class Mask(NamedTuple):
    """Patches of a batch that the encoder sees, and those of the others that are decoded."""

    visible: Int[Tensor, "b s v"]
    """For each lead that is seen, the numbers of its visible patches, rising."""
    seen: Int[Tensor, "b s"] | None = None
    """Rows of the leads that are seen, rising; None for all."""
    decoded: Int[Tensor, "b l k"] | None = None
    """Numbers of the hidden patches that are decoded, rising; None for all."""

    def take(self, records: Int[Tensor, " records"]) -> "Mask":
        """Return the masks of some recordings of the batch."""
        rest = [None if part is None else part[records] for part in self[1:]]
        return Mask(self.visible[records], *rest)

    def to(self, device: torch.device) -> "Mask":
        """Return the mask on a device; the copy does not wait where memory is pinned."""
        moved = [None if part is None else part.to(device, non_blocking=True) for part in self]
        assert moved[0] is not None
        return Mask(moved[0], *moved[1:])


def visible_count(patches: int, mask_ratio: float) -> int:
    """Return how many of a lead's patches stay visible; at least one, and one is hidden."""
    return min(max(round(patches * (1 - mask_ratio)), 1), patches - 1)


def draw_kind(settings: MaskingSettings, generator: torch.Generator) -> MaskKind:
    """Draw the kind of a batch's masks; where there is only one, the generator is left as it is."""
    weights: dict[MaskKind, float] = {
        "random": settings.random,
        "tube": settings.tube,
        "lead": settings.lead,
    }
    kinds = [kind for kind, weight in weights.items() if weight]
    if len(kinds) == 1:
        return kinds[0]
    shares = torch.tensor([weights[kind] for kind in kinds])
    return kinds[int(torch.multinomial(shares, 1, generator=generator))]


def draw_mask(
    kind: MaskKind,
    *,
    batch: int,
    leads: int,
    patches: int,
    mask_ratio: float,
    generator: torch.Generator,
    rows: Int[Tensor, " b"] | None = None,
    recorded: Recorded = WHOLE,
    decode_share: float = 1.0,
) -> Mask:
    """Draw the masks of a batch; how much is seen depends on kind, leads, patches and ratio alone.

    Args:
        kind: what is hidden together.
        batch: recordings.
        rows: recordings to return, all by default; a mask does not depend on which are asked for.
        leads: rows of the signal.
        patches: patches of each lead.
        mask_ratio: share to hide, of the patches or of the leads.
        generator: decides the draw, which uses as many numbers whatever is absent or padding.
        recorded: of those rows. An absent lead is hidden before any other; a patch of padding is
            visible only where a count must be filled, as the same share of valid ones is visible.
        decode_share: share of the hidden patches that is decoded; whole leads always are.

    Raises InputError where leads are to be hidden and there is only one.
    """
    if kind == "lead":
        seen = _draw_seen(batch, leads, mask_ratio, generator, rows, recorded.present)
        every = torch.arange(patches).expand(*seen.shape, patches)
        return Mask(every, seen)
    rows_drawn = 1 if kind == "tube" else leads
    drawn = torch.rand(batch, rows_drawn, patches, generator=generator)
    if rows is not None:
        drawn = drawn[rows]
    if recorded.valid is not None:
        drawn = _padding_as_filler(drawn, recorded.valid[:, None], mask_ratio)
    order = drawn.argsort(dim=-1).expand(-1, leads, -1)  # visible first, padding never at the end
    count = visible_count(patches, mask_ratio)
    visible = order[..., :count].sort(dim=-1).values
    if decode_share == 1:
        return Mask(visible)
    decoded = order[..., -max(round((patches - count) * decode_share), 1) :]
    return Mask(visible, decoded=decoded.sort(dim=-1).values)


def hidden_patches(mask: Mask, *, leads: int, patches: int) -> Bool[Tensor, "b l n"]:
    """Return True where a patch is not among the visible ones."""
    visible, seen = mask.visible, mask.seen
    hidden = torch.ones(*visible.shape[:2], patches, dtype=torch.bool, device=visible.device)
    hidden = hidden.scatter(-1, visible, torch.zeros_like(visible, dtype=torch.bool))
    if seen is None:
        return hidden
    everything = torch.ones(
        visible.shape[0], leads, patches, dtype=torch.bool, device=visible.device
    )
    return everything.scatter(1, repeat(seen, "b s -> b s n", n=patches), hidden)


def counted_patches(
    hidden: Bool[Tensor, "b l n"],
    recorded: Recorded,
    decoded: Int[Tensor, "b l k"] | None = None,
) -> Bool[Tensor, "b l n"]:
    """Return the patches that enter the loss: hidden, in a lead that is present, and recorded.

    Where only some are decoded, they are those.

    Their number is the weight of a part of a batch, with which the losses of its parts make up
    the loss of the batch.
    """
    if decoded is not None:
        hidden = torch.zeros_like(hidden).scatter(-1, decoded, True)
    if recorded.present is not None:
        hidden = hidden & recorded.present[..., None]
    return hidden if recorded.valid is None else hidden & recorded.valid[:, None]


def mean_by_patches(each: Float[Tensor, " b"], counted: Bool[Tensor, "b l n"]) -> Float[Tensor, ""]:
    """Return the mean in which a recording counts by its patches, so that parts make up a batch."""
    return (each * counted.sum(dim=(1, 2)) / counted.sum().clamp(min=1)).sum()


def valid_tokens(
    visible: Int[Tensor, "b s v"] | None, valid: Bool[Tensor, "b n"] | None, *, leads: int
) -> Bool[Tensor, "b s v"] | None:
    """Return True for each encoded patch that is no padding; None where none can be."""
    if valid is None:
        return None
    each = repeat(valid, "b n -> b l n", l=leads)
    return each if visible is None else each.gather(2, visible)


def _padding_as_filler(order: Tensor, valid: Tensor, mask_ratio: float) -> Tensor:
    """Put a share of the valid patches first, padding behind them, and other valid ones last."""
    recorded = valid.sum(dim=-1, keepdim=True)
    share = (recorded.double() * (1 - mask_ratio)).round().long().clamp(min=1)
    count = torch.minimum(share, (recorded - 1).clamp(min=1))
    rank = order.masked_fill(~valid, 2.0).argsort(dim=-1).argsort(dim=-1)
    first = valid & (rank < count)
    return order + torch.where(first, 0.0, torch.where(valid, 4.0, 2.0))


def _draw_seen(
    batch: int,
    leads: int,
    mask_ratio: float,
    generator: torch.Generator,
    rows: Tensor | None,
    present: Tensor | None,
) -> Int[Tensor, "b s"]:
    if leads < 2:
        raise InputError(
            "masks that hide whole leads",
            value=f"{leads} lead",
            expected="at least two",
            remedy="Set model.masking.lead=0, or add a lead to preprocess.leads.",
        )
    order = torch.rand(batch, leads, generator=generator)
    if rows is not None:
        order = order[rows]
    if present is not None:
        order = order + (~present).float() * 2
    return order.argsort(dim=-1)[:, : visible_count(leads, mask_ratio)].sort(dim=-1).values
