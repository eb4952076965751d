"""Batches of fine-tuning: recordings and windows, a function of (seed, step) alone."""

from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool
from torch import Tensor

from finetune.training.settings import TrainingSettings
from lamae.batches.dataset import Batch, Split
from lamae.batches.order import shuffled_positions
from lamae.ecg.windows import drawn_starts
from lamae.errors import InputError


class MicroBatch(NamedTuple):
    """Recordings that are computed at once."""

    batch: Batch
    """One window of each."""
    labels: Bool[Tensor, "b classes"]
    """True where a recording has a class."""
    number: int
    """Its place in the step, whichever process computes it."""


def check_micro_batches(settings: TrainingSettings, processes: int) -> None:
    """Raise InputError where the processes cannot share the micro-batches of a step evenly."""
    number = settings.batch_size // settings.micro_batch_size
    if number % processes:
        raise InputError(
            "batch_size",
            value=f"{settings.batch_size} in {number} micro-batches of {settings.micro_batch_size}",
            expected=f"a number of micro-batches that {processes} processes can share",
            remedy="Change batch_size, micro_batch_size or the number of processes.",
        )


class Steps:
    """The micro-batches of each step that fall to this process."""

    def __init__(
        self,
        data: Split,
        labels: Bool[np.ndarray, "recordings classes"],
        settings: TrainingSettings,
        *,
        accelerator: Accelerator,
        seed: int,
    ) -> None:
        """Read recordings of a split, with the labels of each.

        Raises InputError as `check_micro_batches`.
        """
        check_micro_batches(settings, accelerator.num_processes)
        self._data, self._labels, self._settings, self._seed = data, labels, settings, seed
        self._accelerator = accelerator
        self.micro_batches = settings.batch_size // settings.micro_batch_size
        """Micro-batches of a step, over all processes."""
        self.per_epoch = max(len(data) / settings.batch_size, 1.0)
        """Steps in which each recording is seen once."""

    def read(self, step: int) -> list[MicroBatch]:
        """Read the micro-batches of one step."""
        size, count = self._settings.batch_size, len(self._data)
        walk = np.arange(step * size, (step + 1) * size)
        positions = shuffled_positions(step * size, (step + 1) * size, count=count, seed=self._seed)
        starts = drawn_starts(
            positions,
            walk // count,
            self._data.lengths(positions),
            window=self._data.preprocessor.samples,
            count=count,
            seed=self._seed,
        )
        accelerator = self._accelerator
        mine = range(accelerator.process_index, self.micro_batches, accelerator.num_processes)
        rows = [np.arange(size)[number :: self.micro_batches] for number in mine]
        return [
            MicroBatch(
                self._data.batch(positions[chosen], starts[chosen]),
                torch.from_numpy(self._labels[positions[chosen]]),
                number,
            )
            for number, chosen in zip(mine, rows, strict=True)
        ]
