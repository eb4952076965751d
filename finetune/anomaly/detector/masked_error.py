"""The error of a masked autoencoder on patches that it does not see, each hidden equally often."""

import torch
from einops import repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask, counted_patches
from lamae.model.recorded import Recorded

_SEED = 0


def complementary_masks(leads: int, patches: int, *, masks: int) -> list[Int[Tensor, "l _"]]:
    """Return the visible patches of each of several masks; of each lead, every patch is in one.

    So each is hidden in all masks but one, and exactly once by two masks. The masks are the same
    for every window, so that a score depends on the window alone.
    """
    generator = torch.Generator().manual_seed(_SEED)
    order = torch.rand(leads, patches, generator=generator).argsort(dim=1)
    return [part.sort(dim=1).values for part in order.tensor_split(masks, dim=1)]


def masked_squares(
    model: LAMAE,
    signal: Float[Tensor, "b l samples"],
    leads: tuple[str, ...],
    *,
    masks: list[Int[Tensor, "l _"]],
    recorded: Recorded,
) -> tuple[Float[Tensor, "b l n p"], Bool[Tensor, "b l n"]]:
    """Return the mean squared error of each sample where its patch is hidden, and what counts.

    Args:
        model: the autoencoder; errors are in the units of its target.
        signal: as its preprocessor gives it.
        leads: names of the rows.
        masks: visible patches, as `complementary_masks` gives them.
        recorded: leads and patches that were recorded.

    A patch of an absent lead or of padding has zero error, and does not count.
    """
    target = model.target(signal)
    total = torch.zeros_like(target)
    times = torch.zeros(target.shape[:3], device=signal.device)
    for mask in masks:
        visible = repeat(mask.to(signal.device), "l v -> b l v", b=len(signal))
        found = model(signal, leads, mask=Mask(visible), recorded=recorded)
        total += (found.patches.float() - target).square() * found.hidden[..., None]
        times += found.hidden
    everything = torch.ones_like(times, dtype=torch.bool)
    counted = counted_patches(everything, recorded)
    return total / times[..., None] * counted[..., None], counted
