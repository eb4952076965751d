"""Which patches an encoder sees: a fixed count for each kind of mask, so that shapes are static."""

from typing import Literal, NamedTuple

import torch
from einops import repeat
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from lamae.config import Settings
from lamae.errors import InputError

MaskKind = Literal["random", "tube", "lead"]
"""random: patches of each lead alone; tube: the same patches in all leads; lead: whole leads."""


class MaskingSettings(Settings):
    """How often each kind of mask is drawn, as weights of any sum; one kind for a whole batch."""

    random: float = Field(1.0, ge=0)
    """Patches of each lead, independently of the other leads."""
    tube: float = Field(0.0, ge=0)
    """The same patches in all leads, so that no lead shows what another hides."""
    lead: float = Field(0.0, ge=0)
    """Whole leads; the others are seen in full. Of the leads, mask_ratio are hidden."""

    @model_validator(mode="after")
    def _consistent(self) -> "MaskingSettings":
        if not self.random + self.tube + self.lead:
            raise ValueError("one of random, tube and lead must be above zero")
        return self


class Mask(NamedTuple):
    """What the encoder sees of a batch."""

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


def decoded_count(patches: int, visible: int, decode_share: float) -> int:
    """Return how many hidden patches of a lead are decoded; at least one."""
    return max(round((patches - visible) * decode_share), 1)


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
    present: Bool[Tensor, "b l"] | None = None,
    valid: Bool[Tensor, "b n"] | None = None,
    decode_share: float = 1.0,
) -> Mask:
    """Draw the masks of a batch; how much is seen depends on kind, leads, patches and ratio alone.

    Args:
        kind: what is hidden together.
        batch: recordings.
        rows: those whose masks are wanted, by default all; theirs are the same without the others.
        leads: rows of the signal.
        patches: patches of each lead.
        mask_ratio: share to hide, of the patches or of the leads.
        generator: decides the draw, which uses as many numbers whatever is absent or padding.
        present: False for a lead that a recording lacks, which is hidden before any other.
        valid: False for a patch of padding, which is visible only where a count must be filled.
        decode_share: share of the hidden patches that is decoded; whole leads always are.

    Raises InputError where leads are to be hidden and there is only one.
    """
    if kind == "lead":
        seen = _draw_seen(batch, leads, mask_ratio, generator, rows, present)
        every = torch.arange(patches).expand(*seen.shape, patches)
        return Mask(every, seen)
    rows_drawn = 1 if kind == "tube" else leads
    order = _draw_order(
        batch, rows_drawn, patches, mask_ratio, generator=generator, rows=rows, valid=valid
    ).expand(-1, leads, -1)
    count = visible_count(patches, mask_ratio)
    visible = order[..., :count].sort(dim=-1).values
    if decode_share == 1:
        return Mask(visible)
    decoded = order[..., -decoded_count(patches, count, decode_share) :]
    return Mask(visible, decoded=decoded.sort(dim=-1).values)


def draw_visible(
    batch: int,
    leads: int,
    patches: int,
    *,
    mask_ratio: float,
    generator: torch.Generator,
    rows: Int[Tensor, " b"] | None = None,
    valid: Bool[Tensor, "b n"] | None = None,
) -> Int[Tensor, "b l v"]:
    """Draw the visible patches of each lead, independently and in equal number.

    With `rows`, those of some recordings are returned. Of a recording with padding, the same share
    of its valid patches is visible, and padding fills the rest of the count.
    """
    order = _draw_order(
        batch, leads, patches, mask_ratio, generator=generator, rows=rows, valid=valid
    )
    return order[..., : visible_count(patches, mask_ratio)].sort(dim=-1).values


def _draw_order(
    batch: int,
    leads: int,
    patches: int,
    mask_ratio: float,
    *,
    generator: torch.Generator,
    rows: Tensor | None,
    valid: Tensor | None,
) -> Int[Tensor, "b l n"]:
    """Return the patches of each lead at random: visible ones first, padding never at the end."""
    order = torch.rand(batch, leads, patches, generator=generator)
    if rows is not None:
        order = order[rows]
    if valid is not None:
        order = _padding_as_filler(order, valid[:, None], mask_ratio)
    return order.argsort(dim=-1)


def hidden_patches(
    visible: Int[Tensor, "b s v"],
    patches: int,
    *,
    leads: int | None = None,
    seen: Int[Tensor, "b s"] | None = None,
) -> Bool[Tensor, "b l n"]:
    """Return True where a patch is not among the visible ones; `leads` is needed with `seen`."""
    hidden = torch.ones(*visible.shape[:2], patches, dtype=torch.bool, device=visible.device)
    hidden = hidden.scatter(-1, visible, torch.zeros_like(visible, dtype=torch.bool))
    if seen is None:
        return hidden
    everything = torch.ones(
        visible.shape[0], leads or 0, patches, dtype=torch.bool, device=visible.device
    )
    return everything.scatter(1, repeat(seen, "b s -> b s n", n=patches), hidden)


def counted_patches(
    hidden: Bool[Tensor, "b l n"],
    *,
    present: Bool[Tensor, "b l"] | None,
    valid: Bool[Tensor, "b n"] | None,
    decoded: Int[Tensor, "b l k"] | None = None,
) -> Bool[Tensor, "b l n"]:
    """Return the patches that enter the loss: hidden, in a lead that is present, and recorded.

    Where only some are decoded, they are those.

    Their number is the weight of a part of a batch, with which the losses of its parts make up
    the loss of the batch.
    """
    if decoded is not None:
        hidden = torch.zeros_like(hidden).scatter(-1, decoded, True)
    counted = hidden if present is None else hidden & present[..., None]
    return counted if valid is None else counted & valid[:, None]


def mean_by_patches(each: Float[Tensor, " b"], counted: Bool[Tensor, "b l n"]) -> Float[Tensor, ""]:
    """Return the mean in which a recording counts by its patches, so that parts make up a batch."""
    return (each * counted.sum(dim=(1, 2)) / counted.sum().clamp(min=1)).sum()


def valid_patches(
    samples: Int[Tensor, " b"], *, patches: int, patch_size: int
) -> Bool[Tensor, "b n"]:
    """Return True for each patch that was recorded to its last sample.

    Args:
        samples: recorded samples of each recording; zeros stand behind them.
        patches: patches of a lead.
        patch_size: samples in a patch.
    """
    ends = torch.arange(1, patches + 1, device=samples.device) * patch_size
    return ends <= samples[:, None]


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
