"""Reconstruction error by group of leads, beside that of limb leads computed by algebra.

With two limb leads visible at the same time the other four follow exactly, so that a low error
there shows no learning across leads. For validation: none of it is needed for a training step.
"""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor

from lamae.ecg.leads import LEAD_GROUPS
from lamae.model.autoencoder import LAMAE, Reconstruction
from lamae.model.masking import counted_patches
from lamae.model.objective.limb_algebra import limb_leads, solve_limb_leads
from lamae.model.recorded import WHOLE, Recorded

GROUPS = (
    "val/error_limb",
    "val/error_precordial",
    "val/error_limb_determined",
    "val/error_limb_undetermined",
    "val/error_algebra",
)
"""Rows of `error_sums`, by their names in the logs.

Determined: two limb leads are visible at the time of the hidden patch. val/error_algebra: the error
of the algebra, to be compared with val/error_limb_determined, on the same patches."""

DETERMINED = "val/limb_determined"
"""Share of the determined patches among the hidden patches of limb leads."""


class LeadErrors:
    """Sums of errors by group of leads, over the batches of a validation and its processes."""

    def __init__(self, leads: Sequence[str], accelerator: Accelerator) -> None:
        """Begin at zero for a model of these leads."""
        self._leads = leads
        self._accelerator = accelerator
        self._sums = torch.zeros(len(GROUPS), 2, device=accelerator.device, dtype=torch.float64)

    def add(
        self,
        model: LAMAE,
        found: Reconstruction,
        signal: Float[Tensor, "b l samples"],
        recorded: Recorded = WHOLE,
    ) -> None:
        """Add the reconstruction of one batch of this process."""
        self._sums += error_sums(model, found, signal, self._leads, recorded)

    def scalars(self) -> dict[str, float]:
        """Return the means over all processes, which must all call it."""
        sums = self._accelerator.reduce(self._sums, reduction="sum")
        return error_report(sums, self._leads)


def error_sums(
    model: LAMAE,
    found: Reconstruction,
    signal: Float[Tensor, "b l samples"],
    leads: Sequence[str],
    recorded: Recorded = WHOLE,
) -> Float[Tensor, "groups 2"]:
    """Return for each of GROUPS the sum of the errors of its patches, and their number.

    An error is the mean square of a hidden patch in the units of the target. Sums of batches and
    of processes add up.
    """
    counted = counted_patches(found.hidden, recorded)
    target = model.target(signal)
    error = (found.patches.float() - target).square().mean(dim=-1)
    limb, precordial = (
        counted & _in_group(leads, name, counted.device) for name in ("limb", "precordial")
    )
    groups = [(error, limb), (error, precordial)]
    known = counted_patches(~found.hidden, recorded)
    solution = solve_limb_leads(model.patches(signal), leads, known=known, valid=recorded.valid)
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


def error_report(sums: Float[Tensor, "groups 2"], leads: Sequence[str]) -> dict[str, float]:
    """Return the mean error of each group, and the share of hidden limb patches that algebra has.

    An entry is missing where there was no such patch, and those on algebra where fewer than three
    limb leads are modelled, as with the eight independent leads.
    """
    rows = zip(GROUPS, sums.tolist(), strict=True)
    report = {name: total / count for name, (total, count) in rows if count}
    limb, _, determined, *_ = sums[:, 1].tolist()
    if limb_leads(leads) is not None and limb > 0:
        report[DETERMINED] = determined / limb
    return report


def _in_group(leads: Sequence[str], name: str, device: torch.device) -> Tensor:
    belongs = [[lead in LEAD_GROUPS[name]] for lead in leads]
    return torch.tensor(belongs, device=device)
