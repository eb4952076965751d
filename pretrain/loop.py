"""The training loop: its state, its data, one step, validation."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from lamae.alignment import alignment_share
from lamae.autoencoder import LAMAE, Reconstruction
from lamae.corpus import Corpus
from lamae.dataset import Split
from lamae.errors import InputError
from lamae.optim import adamw
from lamae.raw_batches import OnDevice
from lamae.run_folder import Attempt, newest_checkpoint
from lamae.schedule import warmup_cosine
from lamae.training_state import load_checkpoint, save_checkpoint
from pretrain.attempt import begin_attempt
from pretrain.batches import MaskedBatch, validation_batches
from pretrain.error_totals import ErrorTotals
from pretrain.retention import VALIDATION_LOSS, apply_retention
from pretrain.settings import (
    PretrainSettings,
    check_same_corpus,
    check_same_training,
    warn_of_another_schedule,
)
from pretrain.stopping import Agreement

_log = logging.getLogger(__name__)
_KEYS_NAMED = 5


@dataclass
class Training:
    """Everything that a step changes."""

    settings: PretrainSettings
    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    """Optimiser steps done."""
    corpus_digest: str = field(kw_only=True)
    """What the shards hold, which resuming compares."""
    attempt: Attempt | None = field(kw_only=True)
    """The right to write in run_dir; the main process alone has one."""
    agreement: Agreement = field(kw_only=True)
    """How the processes agree to stop."""
    preprocess: OnDevice = field(kw_only=True)
    """The preprocessor for batches that the host has not prepared."""
    validated: tuple[int, float] | None = None
    """Step and loss of the newest validation."""
    skipped_in_a_row: int = 0
    """Steps that were not finite since the last one that was."""
    earlier_seconds: float = 0.0
    """Time that the steps before a resumption took."""
    started: float = field(default_factory=time.monotonic)
    """Reading of the monotonic clock when this process began to train."""

    @property
    def seconds(self) -> float:
        """Time that all steps took, without those that an interruption lost."""
        return self.earlier_seconds + time.monotonic() - self.started

    @property
    def autoencoder(self) -> LAMAE:
        """The model without what accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.model)

    @property
    def bare_optimizer(self) -> torch.optim.Optimizer:
        """The optimiser without what accelerate wraps around it."""
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def refuse(self, parts: Sequence[MaskedBatch], found: str) -> None:
        """Stop at a step that is not finite, or count it where the settings say to skip it.

        Raises InputError on every process.
        """
        keys = [key for part in parts for key in part.batch.keys]
        named = f"{found} with records {', '.join(keys[:_KEYS_NAMED])}, ..."
        self.skipped_in_a_row += 1
        settings = self.settings
        if settings.non_finite == "stop" or self.skipped_in_a_row > settings.most_skipped:
            raise _not_finite(self, named)
        _log.warning("step %d skipped: %s", self.step + 1, named)

    def save(self) -> None:
        """Write a checkpoint, on the main process; the others wait.

        Raises InputError if weights or moments are not finite.
        """
        moments = (
            value for state in self.bare_optimizer.state.values() for value in state.values()
        )
        if not _are_finite([*self.autoencoder.state_dict().values(), *moments]):
            raise _not_finite(self, "weights or moments of AdamW")
        error = None
        if self.attempt is not None:
            try:
                self._write_checkpoint(self.attempt)
            except (InputError, OSError) as found:
                error = found
        self.agreement.raise_together(error)

    def _write_checkpoint(self, attempt: Attempt) -> None:
        step, loss = self.validated or (-1, None)
        save_checkpoint(
            self.settings.run_dir,
            step=self.step,
            model=self.autoencoder,
            optimizer=self.bare_optimizer,
            preprocessor=self.settings.preprocess,
            state={
                "settings": self.settings.model_dump(mode="json"),
                "corpus": self.corpus_digest,
                "seconds": self.seconds,
                VALIDATION_LOSS: loss if step == self.step else None,
            },
            attempt=attempt,
        )
        apply_retention(self.settings.run_dir, self.settings.retention, attempt)


def start_training(
    settings: PretrainSettings, accelerator: Accelerator, corpus: Corpus
) -> Training:
    """Build model and optimiser from the seed, or from the newest checkpoint to resume.

    Raises InputError where run_dir holds another run, or one on other data.
    """
    _check_batch_size(settings, accelerator)
    torch.manual_seed(settings.seed)
    model = LAMAE(settings.model).to(accelerator.device)
    optimizer = adamw(
        model, lr=settings.lr, weight_decay=settings.weight_decay, betas=settings.betas
    )
    agreement = Agreement(timeout=timedelta(seconds=settings.timeout_s))
    attempt, newest = begin_attempt(settings, accelerator, agreement)
    state: dict[str, Any] = {}
    if newest:
        preprocessor = settings.preprocess
        state = load_checkpoint(newest, model=model, optimizer=optimizer, preprocessor=preprocessor)
        check_same_training(newest, state["settings"], settings)
        check_same_corpus(newest, state.get("corpus", corpus.digest), corpus.digest, settings)
        if accelerator.is_main_process:
            warn_of_another_schedule(state["settings"], settings)
    if settings.compile:
        model.compile(dynamic=False)
    prepared_model, prepared_optimizer = accelerator.prepare(model, optimizer)
    return Training(
        settings,
        accelerator,
        prepared_model,
        prepared_optimizer,
        state.get("step", 0),
        corpus_digest=corpus.digest,
        attempt=attempt,
        agreement=agreement,
        preprocess=OnDevice(settings.preprocess, accelerator.device),
        earlier_seconds=state.get("seconds", 0.0),
    )


def train_step(training: Training, parts: list[MaskedBatch]) -> dict[str, Tensor]:
    """Do one optimiser step; return gradient norm, and loss as its share on this process.

    The mean of the shares over all processes is the loss of the batch. Raises InputError on every
    process, and changes no weight, if loss or gradient are not finite and may not be skipped.
    """
    settings, accelerator = training.settings, training.accelerator
    factor = warmup_cosine(training.step, steps=settings.steps, warmup_steps=settings.warmup_steps)
    for group in training.optimizer.param_groups:
        group["lr"] = settings.lr * factor
    loss = torch.zeros((), device=accelerator.device)
    weights = part_weights(parts, accelerator)
    for number, (part, weight) in enumerate(zip(parts, weights, strict=True)):
        is_last = number == len(parts) - 1
        with nullcontext() if is_last else accelerator.no_sync(training.model):
            arguments = model_arguments(training, part)
            share = weight * reconstruct(training, training.model, arguments).loss
            accelerator.backward(share)
        loss += share.detach()
    norm = accelerator.clip_grad_norm_(training.model.parameters(), settings.clip_norm)
    is_bad = torch.isfinite(torch.stack([loss, norm])).logical_not().sum()
    if accelerator.reduce(is_bad, reduction="sum"):
        training.refuse(parts, f"loss {loss:.4g}, gradient norm {norm:.4g}")
    else:
        training.skipped_in_a_row = 0
        training.optimizer.step()
    training.optimizer.zero_grad()
    training.step += 1
    return {"train/loss": loss, "train/grad_norm": norm}


def part_weights(parts: Sequence[MaskedBatch], accelerator: Accelerator) -> Tensor:
    """Return for each part its share of the counted patches of the batch, times the processes.

    These weights make the loss and, once averaged over the processes, the gradient those of the
    undivided batch.
    """
    counts = [part.counted for part in parts]
    counted = torch.tensor(counts, dtype=torch.float32, device=accelerator.device)
    return counted * accelerator.num_processes / accelerator.reduce(counted.sum(), reduction="sum")


def validate(training: Training, data: Split, totals: ErrorTotals | None = None) -> float:
    """Return the mean error over fixed recordings and masks, over all processes.

    `totals` is added what each group of leads contributes. Raises InputError if the mean is not
    finite.
    """
    settings, accelerator = training.settings, training.accelerator
    total = torch.zeros(2, device=accelerator.device)
    model = training.autoencoder.eval()
    with torch.no_grad():
        for part in validation_batches(settings, accelerator, data):
            arguments = model_arguments(training, part)
            found = reconstruct(training, model, arguments)
            weighted = found.error * part.counted
            total += torch.stack([weighted, torch.full_like(weighted, part.counted)])
            if totals is not None:
                masks = {name: arguments[name] for name in ("present", "valid")}
                totals.add(model, found, arguments["signal"], **masks)
    model.train()
    error_sum, counted = accelerator.reduce(total, reduction="sum")
    mean = error_sum / counted
    if not torch.isfinite(mean):
        raise _not_finite(training, f"validation loss {mean:.4g}")
    training.validated = (training.step, mean.item())
    return mean.item()


def model_arguments(training: Training, part: MaskedBatch) -> dict[str, Any]:
    """Return what the autoencoder is called with for one part of a batch, on the device."""
    settings, device = training.settings, training.accelerator.device
    arguments: dict[str, Any] = part.arguments(device, training.preprocess)
    if settings.model.encoder.method == "alignment":
        schedule = {"steps": settings.steps, "warmup_steps": settings.warmup_steps}
        share = alignment_share(training.step, **schedule)
        arguments["alignment_share"] = torch.full((), share, device=device)
    return arguments


def reconstruct(
    training: Training, model: nn.Module, arguments: Mapping[str, Any]
) -> Reconstruction:
    """Reconstruct one part of a batch in the precision of the run."""
    with training.accelerator.autocast():
        return model(leads=training.settings.preprocess.leads, **arguments)


def _check_batch_size(settings: PretrainSettings, accelerator: Accelerator) -> None:
    parts = accelerator.num_processes * settings.accumulation
    if settings.batch_size % parts:
        raise InputError(
            "batch_size",
            value=str(settings.batch_size),
            expected=f"a multiple of {parts} (processes x accumulation)",
            remedy="Change batch_size, accumulation or the number of processes.",
        )


def _are_finite(tensors: Sequence[Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def _not_finite(training: Training, found: str) -> InputError:
    newest = newest_checkpoint(training.settings.run_dir)
    lr = training.optimizer.param_groups[0]["lr"]
    return InputError(
        f"training after {training.step} steps, lr {lr:.4g}",
        value=found,
        expected="finite numbers",
        remedy="Train again with a lower lr or more warmup_steps in another run_dir; the newest "
        f"good checkpoint is {newest or 'none'}.",
    )
