"""An encoder in which nothing is trained: fixed kernels and amplitudes.

Its features are those of lamae/model/kernels.py over a whole recording, and the voltages of
lamae/model/amplitudes.py. Pretraining is worth what an encoder has beyond them.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from lamae.config import Settings
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.amplitudes import without_scale
from lamae.model.encoder import Latents
from lamae.model.kernels import Kernels, over_windows
from lamae.model.recorded import WHOLE, Recorded
from lamae.model.settings import AMPLITUDES, KernelSettings


class UntrainedSettings(Settings):
    """Kernels, and the windows in which their responses are counted."""

    patch_size: int = Field(gt=0)
    """Samples in a window; one that was not recorded to its end counts for nothing."""
    kernels: KernelSettings = KernelSettings()
    """Number of kernels, dilations and levels."""

    @property
    def width(self) -> int:
        """Features of a lead."""
        return self.kernels.features + AMPLITUDES


class Untrained(nn.Module):
    """Called as LAMAE's encoder is; the one token behind CLS of each lead has its features."""

    def __init__(self, settings: UntrainedSettings) -> None:
        """Build the kernels; `set_levels` makes them useful."""
        super().__init__()
        self.settings = settings
        self.kernels = Kernels(settings.kernels)

    def set_levels(
        self, signal: Float[Tensor, "b l samples"], present: Bool[Tensor, "b l"] | None
    ) -> None:
        """Set the levels of the kernels from recordings in mV."""
        self.kernels.set_levels(without_scale(signal, Recorded(present)).signal, present)

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        leads: Sequence[str],
        *,
        recorded: Recorded = WHOLE,
    ) -> Latents:
        """Return the features of recordings in mV as tokens; the embedding is their mean."""
        present, valid = recorded.present, recorded.valid
        scaled = without_scale(signal, recorded)
        shares = over_windows(self.kernels(scaled.signal, self.settings.patch_size), valid)
        features = torch.cat([shares, scaled.amplitudes], dim=-1)
        weights = torch.ones(features.shape[:2], device=signal.device)
        weights = weights if present is None else weights * present
        weights = weights / weights.sum(dim=1, keepdim=True)
        embedding = (weights[..., None] * features).sum(dim=1)
        return Latents(torch.stack([features, features], dim=2), embedding, weights)


def untrained_for(preprocess: Preprocessor, kernels: KernelSettings) -> Untrained:
    """Build one for recordings of a preprocessor, in windows of a second or a part of one.

    Raises InputError where kernels.every does not divide the samples of a window.
    """
    window = math.gcd(preprocess.samples, preprocess.sampling_rate)
    if window % kernels.every:
        raise InputError(
            "kernels.every",
            value=str(kernels.every),
            expected=f"a divisor of {window}, the samples of a window",
            remedy="Set kernels.every=1.",
        )
    return Untrained(UntrainedSettings(patch_size=window, kernels=kernels))


def in_millivolts(preprocess: Preprocessor) -> Preprocessor:
    """Return a preprocessor that leaves recordings their scale."""
    return preprocess.model_copy(update={"normalisation": "none"})
