"""Algebra of limb leads on patches: III = II - I, and Goldberger's equations.

They hold in the units of a model where one scale and one offset serve all leads of a recording:
for the normalisations `record` and `none`, not for `lead`.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lamae.ecg.leads import LEAD_GROUPS, LEADS, derive_limb_lead
from lamae.errors import InputError


class LimbLeads(NamedTuple):
    """The limb leads of a model, and each as a sum of the first two."""

    rows: tuple[int, ...]
    """Their places among the leads of the model."""
    weights: tuple[tuple[float, float], ...]
    """For each its weights of the first two."""


class LinearSolution(NamedTuple):
    """Limb leads computed from those that are known at the same time."""

    patches: Float[Tensor, "b k n p"]
    """One row for each limb lead of the model; meaningless where not determined."""
    determined: Bool[Tensor, "b n"]
    """True where at least two limb leads are known."""


def _weights_by_basis() -> dict[tuple[str, str, str], tuple[float, float]]:
    weights = {}
    for first, second in combinations(LEADS, 2):
        for wanted in LEAD_GROUPS["limb"]:
            found = derive_limb_lead(wanted, np.eye(2), (first, second))
            if found is not None:
                weights[first, second, wanted] = (float(found[0]), float(found[1]))
                weights[second, first, wanted] = (float(found[1]), float(found[0]))
    return weights


_WEIGHTS = _weights_by_basis()
"""Weights of two limb leads in a third; a table, because a compiled step cannot trace numpy."""
_LIMB = LEAD_GROUPS["limb"]  # nor a MappingProxyType


def limb_leads(leads: Sequence[str]) -> LimbLeads | None:
    """Return the limb leads among `leads`, or None where fewer than three leave no algebra."""
    rows = [i for i, lead in enumerate(leads) if lead in _LIMB]
    if len(rows) < 3:
        return None
    first, second = leads[rows[0]], leads[rows[1]]
    return LimbLeads(tuple(rows), tuple(_WEIGHTS[first, second, leads[row]] for row in rows))


def limb_inconsistency(
    difference: Float[Tensor, "b l n p"],
    leads: Sequence[str],
    *,
    counted: Bool[Tensor, "b l n"],
) -> Float[Tensor, " b"]:
    """Return how far the limb leads of each reconstruction are from their equations.

    The mean square of III - (II - I) and its like, over all dependent leads and the times at which
    one limb lead is counted. Taken from the error, the reconstruction less the recording, because
    the recording obeys the equations, up to an offset that drops out.

    Args:
        difference: reconstruction less recording in units of the signal.
        leads: canonical names of the rows.
        counted: the patches that were reconstructed; the others are as recorded.

    Raises InputError where `leads` has fewer than three limb leads.
    """
    limbs = limb_leads(leads)
    if limbs is None:
        raise InputError(
            "model.einthoven_weight",
            value=f"leads {', '.join(leads)}",
            expected="at least three limb leads, which then depend on each other",
            remedy="Set model.einthoven_weight=0, or preprocess.leads=12.",
        )
    error = _limb_rows(torch.where(counted[..., None], difference, 0.0), limbs)
    dependent = torch.stack(
        [
            error[:, k] - of_first * error[:, 0] - of_second * error[:, 1]
            for k, (of_first, of_second) in enumerate(limbs.weights)
            if k >= 2
        ],
        dim=1,
    )
    where = _limb_rows(counted, limbs).any(dim=1)
    square = dependent.square().mean(dim=(1, 3)) * where
    return square.sum(dim=1) / where.sum(dim=1).clamp(min=1)


def solve_limb_leads(
    patches: Float[Tensor, "b l n p"],
    leads: Sequence[str],
    *,
    known: Bool[Tensor, "b l n"],
    valid: Bool[Tensor, "b n"] | None = None,
) -> LinearSolution | None:
    """Compute every limb lead from those known at the same time; None where there is no algebra.

    Where more than two are known, by least squares. The offset that normalisation left is taken
    from the whole recording.
    """
    limbs = limb_leads(leads)
    if limbs is None:
        return None
    weights = torch.tensor(limbs.weights, device=patches.device, dtype=torch.float64)
    found = _limb_rows(patches, limbs).double()
    knows = _limb_rows(known, limbs)
    offset = _offset(found, weights, valid)
    normal = torch.einsum("b k n, k c, k e -> b n c e", knows.double(), weights, weights)
    right = torch.einsum("b k n, k c, b k n p -> b n c p", knows.double(), weights, found + offset)
    determined = knows.sum(dim=1) >= 2
    identity = torch.eye(2, dtype=torch.float64, device=patches.device)
    basis = torch.linalg.solve(torch.where(determined[..., None, None], normal, identity), right)
    solved = torch.einsum("k c, b n c p -> b k n p", weights, basis) - offset
    return LinearSolution(solved.to(patches.dtype), determined)


def _limb_rows(tensor: Tensor, limbs: LimbLeads) -> Tensor:
    return torch.stack([tensor[:, row] for row in limbs.rows], dim=1)


def _offset(found: Tensor, weights: Tensor, valid: Tensor | None) -> Tensor:
    """Return what was subtracted from all leads alike: (b, 1, 1, 1).

    With x = s - c, where s obeys the equations, x_k - w_k . x_basis = -c (1 - sum w_k).
    """
    residual = found - torch.einsum("k c, b c n p -> b k n p", weights, found[:, :2])
    if valid is not None:
        residual = residual * valid[:, None, :, None]
    counts = residual.shape[2] if valid is None else valid.sum(dim=1).clamp(min=1)[:, None]
    mean = residual.mean(dim=3).sum(dim=2) / counts
    surplus = 1 - weights.sum(dim=1)
    return -((mean @ surplus) / surplus.square().sum())[:, None, None, None]
