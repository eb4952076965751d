"""The error of a reconstruction by groups of leads, and against what algebra gives for nothing.

With two limb leads visible at the same time the other four follow exactly, so that a low error
there shows no learning across leads. For validation: none of it is needed for a training step.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lamae.ecg.leads import LEAD_GROUPS
from lamae.model.autoencoder import LAMAE, Reconstruction
from lamae.model.limb_algebra import limb_leads, solve_limb_leads
from lamae.model.masking import counted_patches

GROUPS = ("limb", "precordial", "limb_determined", "limb_undetermined", "linear_solution")
"""Rows of `error_sums`. Determined: two limb leads are visible at the time of the hidden patch.
linear_solution: the error of the algebra on the determined patches."""


def error_sums(
    model: LAMAE,
    found: Reconstruction,
    signal: Float[Tensor, "b l samples"],
    leads: Sequence[str],
    *,
    present: Tensor | None = None,
    valid: Tensor | None = None,
) -> Float[Tensor, "groups 2"]:
    """Return for each of GROUPS the sum of the errors of its patches, and their number.

    An error is the mean square of a hidden patch in the units of the target. Sums of batches and
    of processes add up.
    """
    counted = counted_patches(found.hidden, present=present, valid=valid)
    target = model.target(signal)
    error = (found.patches.float() - target).square().mean(dim=-1)
    limb, precordial = (
        counted & _in_group(leads, name, counted.device) for name in ("limb", "precordial")
    )
    groups = [(error, limb), (error, precordial)]
    known = counted_patches(~found.hidden, present=present, valid=valid)
    solution = solve_limb_leads(model.patches(signal), leads, known=known, valid=valid)
    limbs = limb_leads(leads)
    if solution is None or limbs is None:
        groups += [(error, torch.zeros_like(limb))] * 3
    else:
        determined = limb & solution.determined[:, None]
        solved = model.patches(signal).clone()
        solved[:, list(limbs.rows)] = solution.patches
        solved = model.in_target_units(solved, signal)
        linear = (solved - target).square().mean(dim=-1)
        groups += [(error, determined), (error, limb & ~determined), (linear, determined)]
    return torch.stack(
        [torch.stack([(each * where).sum(), where.sum().float()]) for each, where in groups]
    )


def error_report(sums: Float[Tensor, "groups 2"], leads: Sequence[str]) -> dict[str, float | None]:
    """Return the mean error of each group, and which share of the hidden limb patches algebra has.

    None stands where there was no such patch, and for all that speaks of algebra where fewer than
    three limb leads are modelled, as with the eight independent leads.
    """
    means = {
        name: (total / count if count else None)
        for name, (total, count) in zip(GROUPS, sums.tolist(), strict=True)
    }
    limb, _, determined, *_ = sums[:, 1].tolist()
    has_algebra = limb_leads(leads) is not None and limb > 0
    return {**means, "determined_share": determined / limb if has_algebra else None}


def _in_group(leads: Sequence[str], name: str, device: torch.device) -> Tensor:
    belongs = [[lead in LEAD_GROUPS[name]] for lead in leads]
    return torch.tensor(belongs, device=device)
