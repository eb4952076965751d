"""What a validation loss is made of: limb and precordial leads, and what algebra gives anyway."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float
from torch import Tensor

from lamae.model.autoencoder import LAMAE, Reconstruction
from pretrain.monitoring.lead_errors import GROUPS, error_report, error_sums

NAMES = {
    "limb": "val/error_limb",
    "precordial": "val/error_precordial",
    "limb_determined": "val/error_limb_determined",
    "limb_undetermined": "val/error_limb_undetermined",
    "linear_solution": "val/error_algebra",
    "determined_share": "val/limb_determined",
}
"""Name in the logs of each entry of `pretrain.monitoring.lead_errors.error_report`.

`val/error_algebra` is to be compared with `val/error_limb_determined`, on the same patches;
`val/limb_determined` is their share of the hidden patches of limb leads."""


class ErrorTotals:
    """Sums of errors by groups of leads, over the batches of a validation and its processes."""

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
        *,
        present: Bool[Tensor, "b l"] | None = None,
        valid: Bool[Tensor, "b n"] | None = None,
    ) -> None:
        """Add what the model made of one batch of this process."""
        self._sums += error_sums(model, found, signal, self._leads, present=present, valid=valid)

    def scalars(self) -> dict[str, float]:
        """Return the means over all processes, which must all call it.

        An entry is missing where there was no such patch, and those on algebra where fewer than
        three limb leads are modelled.
        """
        sums = self._accelerator.reduce(self._sums, reduction="sum")
        report = error_report(sums, self._leads)
        return {NAMES[name]: value for name, value in report.items() if value is not None}
