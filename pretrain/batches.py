"""What a step reads: recordings and masks, a function of (seed, step) alone."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from lamae.dataset import Batch, Split, prefetch, shuffled_positions
from lamae.masking import (
    Mask,
    counted_patches,
    draw_kind,
    draw_mask,
    hidden_patches,
    valid_patches,
)
from lamae.raw_batches import OnDevice, RawBatch, Resident, Stream, without_signal
from pretrain.settings import PretrainSettings

_VALIDATION_STEP = -1


class MaskedBatch(NamedTuple):
    """One process's part of a batch, with its masks."""

    batch: Batch
    """Recordings; without their signal where `raw` has it."""
    raw: RawBatch | None
    """Recordings that are preprocessed on the device; None where the host has done it."""
    mask: Mask
    """What the encoder sees of them."""
    valid: Tensor | None
    """bool (b, n): False for a patch of padding; None where there is none."""
    counted: int
    """Patches that enter the loss."""

    def arguments(self, device: torch.device, preprocess: OnDevice) -> dict[str, Tensor | None]:
        """Return what the autoencoder is called with, on a device."""
        present, mask, signal = self.batch.present, self.mask.to(device), self.batch.signal
        return {
            "signal": preprocess(self.raw) if self.raw else signal.to(device, non_blocking=True),
            "visible": mask.visible,
            "seen": mask.seen,
            "present": None if present is None else present.to(device, non_blocking=True),
            "valid": None if self.valid is None else self.valid.to(device, non_blocking=True),
        }


class Reader:
    """The recordings of a split, by position, prepared by the host or raw for the device."""

    def __init__(self, data: Split, settings: PretrainSettings, device: torch.device) -> None:
        """Read as the settings say; raises InputError where all should be held and cannot be."""
        self.data = data
        self._raw: Stream | Resident | None = None
        if settings.residency != "stream":
            memory = device if settings.residency == "device" else torch.device("cpu")
            self._raw = Resident(data, memory)
        elif settings.preprocess_on == "device" or (
            settings.preprocess_on == "auto" and device.type != "cpu"
        ):
            self._raw = Stream(data)

    def __call__(self, positions: np.ndarray) -> tuple[Batch, RawBatch | None]:
        """Return a batch; without its signal, and raw as well, where the device prepares it."""
        raw = self._raw(positions) if self._raw else None
        if raw is None:
            return self.data.batch(positions), None
        return without_signal(raw, self.data.preprocessor), raw


def training_batches(
    settings: PretrainSettings, accelerator: Accelerator, read: Reader, *, first_step: int
) -> Iterator[list[MaskedBatch]]:
    """Yield this process's parts of each remaining step, read ahead by threads."""
    make = partial(step_batches, settings, accelerator, read)
    return prefetch(make, start=first_step, stop=settings.steps, workers=settings.data_workers)


def step_batches(
    settings: PretrainSettings, accelerator: Accelerator, read: Reader, step: int
) -> list[MaskedBatch]:
    """Make this process's parts of one step: a slice of samples and masks of (seed, step)."""
    size = settings.batch_size
    first = step * size
    positions = shuffled_positions(first, first + size, count=len(read.data), seed=settings.seed)
    mask = _draw_masks(settings, read.data, positions, step)
    parts = accelerator.num_processes * settings.accumulation
    mine = range(accelerator.process_index, parts, accelerator.num_processes)
    rows = [torch.arange(size)[part::parts] for part in mine]
    return [masked_batch(settings, *read(positions[r.numpy()]), mask=mask.take(r)) for r in rows]


def validation_batches(
    settings: PretrainSettings, accelerator: Accelerator, data: Split
) -> Iterator[MaskedBatch]:
    """Yield this process's share of the first recordings, with the same masks each time."""
    count = min(settings.validation_samples, len(data))
    mask = _draw_masks(settings, data, np.arange(count), _VALIDATION_STEP)
    mine = torch.arange(count)[accelerator.process_index :: accelerator.num_processes]
    for rows in mine.split(64) if len(mine) else ():
        yield masked_batch(settings, data.batch(rows.numpy()), mask=mask.take(rows))


def _draw_masks(settings: PretrainSettings, data: Split, positions: np.ndarray, step: int) -> Mask:
    """Draw the masks of a whole batch, whichever process computes which part of it."""
    generator = torch.Generator().manual_seed(_mask_seed(settings.seed, step))
    kind = draw_kind(settings.model.masking, generator)
    samples = torch.from_numpy(data.recorded_samples(positions))
    return draw_mask(
        kind,
        batch=len(positions),
        leads=len(settings.preprocess.leads),
        patches=settings.patches,
        mask_ratio=settings.model.mask_ratio,
        generator=generator,
        valid=_valid(settings, samples),
    )


def masked_batch(
    settings: PretrainSettings, batch: Batch, raw: RawBatch | None = None, *, mask: Mask
) -> MaskedBatch:
    """Put recordings and masks together, and count the patches that enter the loss."""
    valid = None if batch.samples is None else _valid(settings, batch.samples)
    leads = len(settings.preprocess.leads)
    hidden = hidden_patches(mask.visible, settings.patches, leads=leads, seen=mask.seen)
    counted = counted_patches(hidden, present=batch.present, valid=valid).sum()
    return MaskedBatch(batch, raw, mask, valid, int(counted))


def _valid(settings: PretrainSettings, samples: Tensor) -> Tensor | None:
    """Return which patches were recorded, bool (b, n), or None if all were."""
    size = settings.model.encoder.patch_size
    valid = valid_patches(samples, patches=settings.patches, patch_size=size)
    return None if valid.all() else valid


def _mask_seed(seed: int, step: int) -> int:
    sequence = np.random.SeedSequence([seed, step + 1])
    return int(sequence.generate_state(1, dtype=np.uint64)[0] >> 1)
