"""Batches of a step: recordings, windows, changes and masks, a function of (seed, step)."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from lamae.batches.dataset import Batch, Split, prefetch
from lamae.batches.mixture import Mixture
from lamae.batches.node_memory import NodeMemory
from lamae.batches.raw_batches import (
    Mixed,
    MixedRawBatch,
    OnDevice,
    RawBatch,
    Resident,
    Stream,
    without_signal,
)
from lamae.model.masking import Mask, counted_patches, draw_kind, draw_mask, hidden_patches
from lamae.model.recorded import Recorded, recorded_parts
from pretrain.augmentation import Changes, augment, draw_changes, remaining_leads
from pretrain.damage import DamageCount
from pretrain.data import training_walk
from pretrain.pinning import pinning
from pretrain.settings import PretrainSettings

_VALIDATION_STEP = -1
_STARTS, _CHANGES = 1, 2  # after seed and step, so that draws are apart from each other and masks


class MaskedBatch(NamedTuple):
    """A micro-batch of one process, with its masks."""

    batch: Batch
    """Recordings; without their signal where `raw` has it."""
    raw: RawBatch | MixedRawBatch | None
    """Recordings that are preprocessed on the device; None where the host has done it."""
    mask: Mask
    """Patches that the encoder sees."""
    recorded: Recorded
    """Leads, patches and samples that were recorded."""
    counted: int
    """Patches that enter the loss."""
    changes: Changes | None = None
    """Augmentations, made on the device; None where there is none."""

    def arguments(self, device: torch.device, preprocess: OnDevice) -> dict[str, Any]:
        """Return the arguments of the autoencoder, on a device."""
        mask, recorded = self.mask.to(device), self.recorded.to(device)
        if self.raw:
            signal = preprocess(self.raw)
        else:
            signal = self.batch.signal.to(device, non_blocking=True)
        if self.changes:
            signal = augment(signal, self.changes.to(device), recorded)
        return {"signal": signal, "mask": mask, "recorded": recorded}


class Reader:
    """The recordings of a split or a mixture, prepared by the host or raw for the device."""

    def __init__(
        self,
        data: Split | Mixture,
        settings: PretrainSettings,
        device: torch.device,
        node: NodeMemory | None = None,
    ) -> None:
        """Read as the settings say; raises InputError where all should be held and cannot be.

        With `node`, recordings in the memory of the host are held once for each machine.
        """
        self.data = data
        self.walk = training_walk(settings, data)
        """The order in which recordings are read."""
        splits = data.splits if isinstance(data, Mixture) else (data,)
        sources: list[Stream | Resident] = []
        if settings.residency != "stream":
            in_ram = settings.residency == "ram"
            memory = torch.device("cpu") if in_ram else device
            sources = [Resident(split, memory, node if in_ram else None) for split in splits]
        elif settings.preprocess_on == "device" or (
            settings.preprocess_on == "auto" and device.type != "cpu"
        ):
            sources = [Stream(split) for split in splits]
        self._raw: Stream | Resident | Mixed | None = None
        if sources:
            self._raw = Mixed(data, sources) if isinstance(data, Mixture) else sources[0]

    def __call__(
        self, positions: np.ndarray, starts: np.ndarray | None
    ) -> tuple[Batch, RawBatch | MixedRawBatch | None]:
        """Return a batch of windows that begin at `starts`, or all at 0.

        Where the device prepares it, it comes without its signal, and raw as well.
        """
        raw = self._raw(positions, starts) if self._raw else None
        if raw is None:
            return self.data.batch(positions, starts), None
        return without_signal(raw, self.data.preprocessor), raw


def training_batches(
    settings: PretrainSettings, accelerator: Accelerator, read: Reader, *, first_step: int
) -> Iterator[list[MaskedBatch]]:
    """Yield this process's micro-batches of each remaining step, read ahead by threads."""
    make = pinning(partial(step_batches, settings, accelerator, read), accelerator.device)
    workers = settings.data_workers
    damage = DamageCount(read.data.place, largest_share=settings.max_damaged)
    read.walk.announce(first_step * settings.batch_size)
    with closing(prefetch(make, start=first_step, stop=settings.steps, workers=workers)) as steps:
        for step, parts in enumerate(steps, start=first_step):
            read.walk.announce(step * settings.batch_size)
            for part in parts:
                damage.add(part.batch)
            yield parts


def step_batches(
    settings: PretrainSettings, accelerator: Accelerator, read: Reader, step: int
) -> list[MaskedBatch]:
    """Make this process's micro-batches of one step: a slice of the batch of (seed, step)."""
    size = settings.batch_size
    first = step * size
    positions = read.walk.positions(first, first + size)
    starts = _draw_starts(settings, read.data, positions, step)
    changes = _draw_changes(settings, step)
    parts = accelerator.num_processes * settings.accumulation
    mine = range(accelerator.process_index, parts, accelerator.num_processes)
    own = torch.cat([torch.arange(size)[part::parts] for part in mine])
    kept = None if changes is None else changes.kept
    own_mask = _draw_masks(settings, read.data, positions, step, own, kept)
    made = []
    for of_own in torch.arange(len(own)).split(size // parts):
        rows = own[of_own]
        places = rows.numpy()
        batch, raw = read(positions[places], None if starts is None else starts[places])
        own_changes = None if changes is None else changes.take(rows)
        mask = own_mask.take(of_own)
        made.append(masked_batch(settings, batch, raw, mask=mask, changes=own_changes))
    return made


def validation_batches(
    settings: PretrainSettings, accelerator: Accelerator, data: Split
) -> Iterator[MaskedBatch]:
    """Yield this process's share of the first recordings, with the same masks each time.

    They are seen from their beginning, and as they are: neither cropped at random nor augmented.
    """
    count = min(settings.validation_samples, len(data))
    mine = torch.arange(count)[accelerator.process_index :: accelerator.num_processes]
    if not len(mine):
        return
    mask = _draw_masks(settings, data, np.arange(count), _VALIDATION_STEP, mine)
    damage = DamageCount(data.place, largest_share=settings.max_damaged)
    for of_mine in torch.arange(len(mine)).split(64):
        batch = data.batch(mine[of_mine].numpy())
        damage.add(batch)
        yield masked_batch(settings, batch, mask=mask.take(of_mine))


def _draw_starts(
    settings: PretrainSettings, data: Split | Mixture, positions: np.ndarray, step: int
) -> np.ndarray | None:
    """Draw where the windows of a whole batch begin; None where all do at 0."""
    if settings.crop == "first":
        return None
    spare = np.maximum(data.lengths(positions) - settings.preprocess.samples, 0)
    return np.random.default_rng([settings.seed, step + 1, _STARTS]).integers(spare + 1)


def _draw_changes(settings: PretrainSettings, step: int) -> Changes | None:
    """Draw the augmentations of a whole batch; None where all are off."""
    if not settings.augmentation.is_on:
        return None
    return draw_changes(
        settings.augmentation,
        batch=settings.batch_size,
        leads=len(settings.preprocess.leads),
        sampling_rate=settings.preprocess.sampling_rate,
        generator=_generator(settings.seed, step + 1, _CHANGES),
    )


def _draw_masks(
    settings: PretrainSettings,
    data: Split | Mixture,
    positions: np.ndarray,
    step: int,
    rows: Tensor,
    kept: Tensor | None = None,
) -> Mask:
    """Draw the masks of some rows of a batch: the same whichever process computes them."""
    generator = _generator(settings.seed, step + 1)
    kind = draw_kind(settings.model.masking, generator)
    own = positions[rows.numpy()]
    samples = np.minimum(data.lengths(own), settings.preprocess.samples)
    present = remaining_leads(
        torch.from_numpy(data.present(own)), None if kept is None else kept[rows]
    )
    return draw_mask(
        kind,
        batch=len(positions),
        rows=rows,
        leads=len(settings.preprocess.leads),
        patches=settings.patches,
        mask_ratio=settings.model.mask_ratio,
        generator=generator,
        recorded=_recorded(settings, present, torch.from_numpy(samples)),
        decode_share=1.0 if step == _VALIDATION_STEP else settings.model.decode_share,
    )


def masked_batch(
    settings: PretrainSettings,
    batch: Batch,
    raw: RawBatch | MixedRawBatch | None = None,
    *,
    mask: Mask,
    changes: Changes | None = None,
) -> MaskedBatch:
    """Put recordings, masks and changes together, and count the patches that enter the loss."""
    if changes is not None:
        batch = batch._replace(present=remaining_leads(batch.present, changes.kept))
    mask = _seeing_some_lead(mask, batch.present)
    recorded = _recorded(settings, batch.present, batch.samples)
    leads = len(settings.preprocess.leads)
    hidden = hidden_patches(mask, leads=leads, patches=settings.patches)
    counted = counted_patches(hidden, recorded, mask.decoded).sum()
    return MaskedBatch(batch, raw, mask, recorded, int(counted), changes)


def _seeing_some_lead(mask: Mask, present: Tensor | None) -> Mask:
    """Let a recording be seen by a lead that it has, where a mask of whole leads shows none.

    Masks are drawn before recordings are read. One whose leads are mostly missing samples, or that
    stands in for a damaged one, can have others than the mask was drawn for.
    """
    if mask.seen is None or present is None:
        return mask
    blind = ~present.gather(1, mask.seen).any(dim=1, keepdim=True)
    some = present.int().argmax(dim=1, keepdim=True)
    seen = torch.cat([torch.where(blind, some, mask.seen[:, :1]), mask.seen[:, 1:]], dim=1)
    return mask._replace(seen=seen.sort(dim=1).values)


def _recorded(
    settings: PretrainSettings, present: Tensor | None, samples: Tensor | None
) -> Recorded:
    size = settings.model.encoder.patch_size
    return recorded_parts(present, samples, patches=settings.patches, patch_size=size)


def _generator(*numbers: int) -> torch.Generator:
    seed = np.random.SeedSequence(numbers).generate_state(1, dtype=np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> 1))
