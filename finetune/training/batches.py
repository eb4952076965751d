"""Batches of fine-tuning: recordings and windows, a function of (seed, step) alone."""

from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool
from torch import Tensor

from finetune.training.settings import TrainingSettings
from lamae.batches.dataset import Batch, Split, shuffled_positions
from lamae.ecg.windows import drawn_starts
from lamae.errors import InputError


class Part(NamedTuple):
    """Recordings that are computed at once."""

    batch: Batch
    """One window of each."""
    labels: Bool[Tensor, "b classes"]
    """True where a recording has a class."""
    number: int
    """Place of the part in its step, whichever process computes it."""


def check_parts(settings: TrainingSettings, processes: int) -> None:
    """Raise InputError where the processes cannot share the parts of a step evenly."""
    parts = settings.batch_size // settings.micro_batch_size
    if parts % processes:
        raise InputError(
            "batch_size",
            value=f"{settings.batch_size} in {parts} parts of {settings.micro_batch_size}",
            expected=f"a number of parts that {processes} processes can share",
            remedy="Change batch_size, micro_batch_size or the number of processes.",
        )


class Steps:
    """The parts of each step that fall to this process."""

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

        Raises InputError as `check_parts`.
        """
        check_parts(settings, accelerator.num_processes)
        self._data, self._labels, self._settings, self._seed = data, labels, settings, seed
        self._accelerator = accelerator
        self.parts = settings.batch_size // settings.micro_batch_size
        """Parts of a step, over all processes."""
        self.per_epoch = max(len(data) / settings.batch_size, 1.0)
        """Steps in which each recording is seen once."""

    def read(self, step: int) -> list[Part]:
        """Read the parts of one step."""
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
        mine = range(accelerator.process_index, self.parts, accelerator.num_processes)
        rows = [np.arange(size)[number :: self.parts] for number in mine]
        return [
            Part(
                self._data.batch(positions[of_part], starts[of_part]),
                torch.from_numpy(self._labels[positions[of_part]]),
                number,
            )
            for number, of_part in zip(mine, rows, strict=True)
        ]
