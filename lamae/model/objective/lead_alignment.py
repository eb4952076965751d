"""MVMAE's alignment of the views of one object, here the leads of a recording.

Laguna et al., "Structure is Supervision", arXiv 2511.22294; details from the authors' public code
(agostini335/MVMAE, mm_maes/mm_mae_mmvm.py and utils.py).
"""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lamae.model.encoder import Latents

_STEEPNESS = 10.0


def misalignment(latents: Latents) -> Float[Tensor, " b"]:
    """Return how far the leads of each recording are apart, for latents of leads kept apart.

    Each lead is the mean of its tokens, scaled to length one. The result is the mean over all
    pairs of the M leads that are present, a lead with itself included, of the mean squared
    difference: sum_ij mean_d (z_i - z_j)^2 / M^2, twice the mean distance from the mean lead.
    """
    tokens, valid = latents.tokens.float(), latents.valid
    if valid is not None:
        tokens = tokens * valid[..., None]
    # A sum points where the mean does.
    leads = F.normalize(tokens.sum(dim=2), dim=-1)
    weights = latents.lead_weights[..., None]
    centre = (weights * leads).sum(dim=1, keepdim=True)
    return 2 * (weights * (leads - centre).square()).sum(dim=1).mean(dim=-1)


def alignment_share(step: int, *, steps: int, warmup_steps: int) -> float:
    """Return the share of the full weight of the alignment at a step, from 0.007 to 0.993.

    A sigmoid from the end of the warm-up to the last step, as MVMAE's annealing of its beta.
    """
    done = max(step - warmup_steps, 0) / max(steps - warmup_steps, 1)
    return 1 / (1 + math.exp(-_STEEPNESS * (done - 0.5)))
