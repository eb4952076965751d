"""The training loop: its state, its data, one step, validation."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from lamae.autoencoder import LAMAE, Reconstruction
from lamae.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from lamae.dataset import Batch, Split, prefetch, shuffled_positions
from lamae.errors import InputError
from lamae.masking import draw_visible
from lamae.optim import adamw
from lamae.schedule import warmup_cosine
from pretrain.settings import PretrainSettings

_VALIDATION_STEP = -1
_DECIDE_TRAINING = (
    "seed",
    "batch_size",
    "lr",
    "betas",
    "weight_decay",
    "warmup_steps",
    "clip_norm",
)  # not steps, which may be raised; architecture and preprocessor are checked with the weights


class MaskedBatch(NamedTuple):
    """One process's part of a batch, with its masks."""

    batch: Batch
    visible: Tensor


@dataclass
class Training:
    """Everything that a step changes."""

    settings: PretrainSettings
    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    """Optimiser steps done."""

    @property
    def autoencoder(self) -> LAMAE:
        """The model without what accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.model)

    @property
    def bare_optimizer(self) -> torch.optim.Optimizer:
        """The optimiser without what accelerate wraps around it."""
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def save(self) -> None:
        """Write a checkpoint, on the main process; the others wait."""
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.settings.run_dir,
                step=self.step,
                model=self.autoencoder,
                optimizer=self.bare_optimizer,
                preprocessor=self.settings.preprocess,
                state={"settings": self.settings.model_dump(mode="json")},
                keep=self.settings.keep_checkpoints,
            )
        self.accelerator.wait_for_everyone()


def start_training(settings: PretrainSettings, accelerator: Accelerator) -> Training:
    """Build model and optimiser from the seed, or from the newest checkpoint to resume.

    Raises InputError where run_dir holds another run.
    """
    _check_batch_size(settings, accelerator)
    torch.manual_seed(settings.seed)
    model = LAMAE(settings.model).to(accelerator.device)
    optimizer = adamw(
        model, lr=settings.lr, weight_decay=settings.weight_decay, betas=settings.betas
    )
    newest = newest_checkpoint(settings.run_dir)
    step = 0
    if newest and not settings.resume:
        raise InputError(
            f"run folder {settings.run_dir}",
            value=f"holds {newest.name}",
            expected="no checkpoint of another run",
            remedy="Give resume=true to go on with it, or another run_dir=.",
        )
    if newest:
        preprocessor = settings.preprocess
        state = load_checkpoint(newest, model=model, optimizer=optimizer, preprocessor=preprocessor)
        _check_same_training(newest, state["settings"], settings)
        step = state["step"]
    prepared_model, prepared_optimizer = accelerator.prepare(model, optimizer)
    return Training(settings, accelerator, prepared_model, prepared_optimizer, step)


def training_batches(training: Training, data: Split) -> Iterator[list[MaskedBatch]]:
    """Yield this process's parts of each remaining step, read ahead."""
    make = partial(step_batches, training.settings, training.accelerator, data)
    return prefetch(make, start=training.step, stop=training.settings.steps)


def step_batches(
    settings: PretrainSettings, accelerator: Accelerator, data: Split, step: int
) -> list[MaskedBatch]:
    """Make this process's parts of one step: a slice of samples and masks of (seed, step)."""
    size = settings.batch_size
    first = step * size
    positions = shuffled_positions(first, first + size, count=len(data), seed=settings.seed)
    visible = _draw_masks(settings, size, step)
    parts = accelerator.num_processes * settings.accumulation
    mine = range(accelerator.process_index, parts, accelerator.num_processes)
    rows = [torch.arange(size)[part::parts] for part in mine]
    return [MaskedBatch(data.batch(positions[r.numpy()]), visible[r]) for r in rows]


def train_step(training: Training, parts: list[MaskedBatch]) -> dict[str, Tensor]:
    """Do one optimiser step; return loss and gradient norm of this process."""
    settings, accelerator = training.settings, training.accelerator
    factor = warmup_cosine(training.step, steps=settings.steps, warmup_steps=settings.warmup_steps)
    for group in training.optimizer.param_groups:
        group["lr"] = settings.lr * factor
    losses = []
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        with nullcontext() if is_last else accelerator.no_sync(training.model):
            loss = reconstruct(training.model, part, settings, accelerator).loss
            accelerator.backward(loss / len(parts))
        losses.append(loss.detach())
    norm = accelerator.clip_grad_norm_(training.model.parameters(), settings.clip_norm)
    training.optimizer.step()
    training.optimizer.zero_grad()
    training.step += 1
    return {"train/loss": torch.stack(losses).mean(), "train/grad_norm": norm}


def validate(training: Training, data: Split) -> float:
    """Return the mean loss over fixed recordings and masks, over all processes."""
    settings, accelerator = training.settings, training.accelerator
    count = min(settings.validation_samples, len(data))
    visible = _draw_masks(settings, count, _VALIDATION_STEP)
    mine = torch.arange(count)[accelerator.process_index :: accelerator.num_processes]
    total = torch.zeros(2, device=accelerator.device)
    model = training.autoencoder.eval()
    with torch.no_grad():
        for rows in mine.split(64) if len(mine) else ():
            part = MaskedBatch(data.batch(rows.numpy()), visible[rows])
            loss = reconstruct(model, part, settings, accelerator).loss
            total += torch.stack([loss * len(rows), torch.ones_like(loss) * len(rows)])
    model.train()
    loss_sum, seen = accelerator.reduce(total, reduction="sum")
    return (loss_sum / seen).item()


def reconstruct(
    model: nn.Module, part: MaskedBatch, settings: PretrainSettings, accelerator: Accelerator
) -> Reconstruction:
    """Move one part of a batch to the device and reconstruct it."""
    device = accelerator.device
    present = part.batch.present
    return model(
        part.batch.signal.to(device),
        settings.preprocess.leads,
        visible=part.visible.to(device),
        present=None if present is None else present.to(device),
    )


def _check_batch_size(settings: PretrainSettings, accelerator: Accelerator) -> None:
    parts = accelerator.num_processes * settings.accumulation
    if settings.batch_size % parts:
        raise InputError(
            "batch_size",
            value=str(settings.batch_size),
            expected=f"a multiple of {parts} (processes x accumulation)",
            remedy="Change batch_size, accumulation or the number of processes.",
        )


def _check_same_training(
    checkpoint: Path, before: dict[str, Any], settings: PretrainSettings
) -> None:
    """Refuse to go on with settings under which the steps already done would have been others."""
    now = settings.model_dump(mode="json")
    for key in _DECIDE_TRAINING:
        if before.get(key) != now[key]:
            raise InputError(
                f"checkpoint {checkpoint}, {key}",
                value=str(before.get(key)),
                expected=f"{now[key]}, as configured",
                remedy="Resume with the value it was made with, or use another run_dir.",
            )


def _draw_masks(settings: PretrainSettings, count: int, step: int) -> Tensor:
    generator = torch.Generator().manual_seed(_mask_seed(settings.seed, step))
    patches = settings.preprocess.samples // settings.model.encoder.patch_size
    leads = len(settings.preprocess.leads)
    return draw_visible(
        count, leads, patches, mask_ratio=settings.model.mask_ratio, generator=generator
    )


def _mask_seed(seed: int, step: int) -> int:
    sequence = np.random.SeedSequence([seed, step + 1])
    return int(sequence.generate_state(1, dtype=np.uint64)[0] >> 1)
