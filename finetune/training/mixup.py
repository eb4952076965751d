"""Mixup (Zhang et al. 2018): a step sees sums of two recordings, and both of their labels."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from lamae.batches.dataset import Batch


class Mixed(NamedTuple):
    """Recordings, each mixed with another one of the micro-batch."""

    batch: Batch
    """The mixed recordings: leads that both have, samples that both have recorded."""
    partner: Int[Tensor, " b"]
    """Place of the recording that each is mixed with."""
    share: float
    """Share of its own signal in each, the rest is its partner's."""


def mix(batch: Batch, strength: float, seed: int) -> Mixed:
    """Mix the recordings of a micro-batch; the share is drawn from Beta(strength, strength)."""
    generator = np.random.default_rng(seed)
    share = float(generator.beta(strength, strength))
    partner = torch.from_numpy(generator.permutation(len(batch.signal)))
    present, samples = batch.present, batch.samples
    mixed = batch._replace(
        signal=torch.lerp(batch.signal[partner], batch.signal, share),
        present=None if present is None else present & present[partner],
        samples=None if samples is None else torch.minimum(samples, samples[partner]),
    )
    return Mixed(mixed, partner, share)
