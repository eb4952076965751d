"""Which patches an encoder sees: a fixed count for each lead, so that shapes are static."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def visible_count(patches: int, mask_ratio: float) -> int:
    """Return how many of a lead's patches stay visible; at least one, and one is hidden."""
    return min(max(round(patches * (1 - mask_ratio)), 1), patches - 1)


def draw_visible(
    batch: int, leads: int, patches: int, *, mask_ratio: float, generator: torch.Generator
) -> Int[Tensor, "b l v"]:
    """Draw the visible patches of each lead, independently and in equal number."""
    noise = torch.rand(batch, leads, patches, generator=generator)
    return noise.argsort(dim=-1)[..., : visible_count(patches, mask_ratio)].sort(dim=-1).values


def hidden_patches(visible: Int[Tensor, "b l v"], patches: int) -> Bool[Tensor, "b l n"]:
    """Return True where a patch is not among the visible ones."""
    hidden = torch.ones(*visible.shape[:2], patches, dtype=torch.bool, device=visible.device)
    return hidden.scatter(-1, visible, torch.zeros_like(visible, dtype=torch.bool))
