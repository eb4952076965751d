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
from lamae.optim import AdamW
from lamae.raw_batches import OnDevice
from lamae.run_folder import Attempt
from lamae.schedule import warmup_cosine
from lamae.training_state import load_checkpoint, save_checkpoint
from pretrain.attempt import begin_attempt
from pretrain.batches import MaskedBatch, validation_batches
from pretrain.error_totals import ErrorTotals
from pretrain.finite import FiniteSteps, Step, are_finite, not_finite, poisoned
from pretrain.launch import check_batch_size
from pretrain.retention import VALIDATION_LOSS, apply_retention
from pretrain.settings import (
    PretrainSettings,
    check_same_corpus,
    check_same_training,
    warn_of_another_schedule,
)
from pretrain.stopping import Agreement
from pretrain.zero import Zero, optimizer_of, uses_zero

_log = logging.getLogger(__name__)


@dataclass
class Training:
    """Everything that a step changes."""

    settings: PretrainSettings
    accelerator: Accelerator
    model: nn.Module
    """What computes a part of a batch: the autoencoder, or what accelerate wraps around it."""
    optimizer: torch.optim.Optimizer
    step: int = 0
    """Optimiser steps done, or asked for and not yet looked at."""
    bare_model: LAMAE = field(kw_only=True)
    """The model without what accelerate wraps around it."""
    bare_optimizer: AdamW = field(kw_only=True)
    """The optimiser without what accelerate wraps around it."""
    zero: Zero | None = field(default=None, kw_only=True)
    """DeepSpeed, where the program was launched under it."""
    finite: FiniteSteps = field(kw_only=True)
    """Steps that were not finite, and change nothing."""
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
    earlier_seconds: float = 0.0
    """Time that the steps before a resumption took."""
    started: float = field(default_factory=time.monotonic)
    """Reading of the monotonic clock when this process began to train."""

    @property
    def seconds(self) -> float:
        """Time that all steps took, without those that an interruption lost."""
        return self.earlier_seconds + time.monotonic() - self.started

    @property
    def lr(self) -> float:
        """Learning rate of the step that comes next."""
        steps, warmup_steps = self.settings.steps, self.settings.warmup_steps
        return self.settings.lr * warmup_cosine(self.step, steps=steps, warmup_steps=warmup_steps)

    @property
    def autoencoder(self) -> LAMAE:
        """The whole model; every process must ask for it, as its weights may be spread."""
        return self.zero.whole_model() if self.zero else self.bare_model

    def settle(self, *, leave: int = 0) -> None:
        """Look how the steps went that were asked for, but for the newest `leave`.

        Raises InputError, on every process, where one was not finite and may not be skipped; no
        weight has changed since then.
        """
        for found in self.finite.read(leave=leave):
            if found.in_a_row > self.finite.most_in_a_row:
                raise not_finite(self.settings.run_dir, found.step, found.text)
            _log.warning("step %d skipped: %s", found.step.number + 1, found.text)

    def save(self) -> None:
        """Write a checkpoint, on the main process; the others wait.

        Raises InputError if weights or moments are not finite.
        """
        self.settle()
        if self.zero:
            model, optimizer, is_finite = self.zero.gather()
        else:
            model, optimizer = self.bare_model, self.bare_optimizer
            moments = (value for state in optimizer.state.values() for value in state.values())
            is_finite = are_finite([*model.state_dict().values(), *moments])
        if not is_finite:
            raise not_finite(self.settings.run_dir, self.now(), "weights or moments of AdamW")
        error = None
        if self.attempt is not None and model is not None and optimizer is not None:
            try:
                self._write_checkpoint(self.attempt, model, optimizer)
            except (InputError, OSError) as found:
                error = found
        self.agreement.raise_together(error)

    def now(self, keys: Sequence[str] = ()) -> Step:
        """Return the step that comes next, with its recordings."""
        return Step(self.step, self.lr, tuple(keys))

    def _write_checkpoint(self, attempt: Attempt, model: LAMAE, optimizer: AdamW) -> None:
        step, loss = self.validated or (-1, None)
        save_checkpoint(
            self.settings.run_dir,
            step=self.step,
            model=model,
            optimizer=optimizer,
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
    check_batch_size(settings, accelerator)
    torch.manual_seed(settings.seed)
    model = LAMAE(settings.model).to(accelerator.device)
    optimizer = optimizer_of(settings, model)
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
    zero = Zero(settings, accelerator, model, optimizer) if uses_zero(accelerator) else None
    prepared: tuple[Any, Any] = zero.prepared if zero else accelerator.prepare(model, optimizer)
    most = settings.most_skipped if settings.non_finite == "skip" else 0
    ahead = 0 if zero else None  # DeepSpeed passes over such a step, but would go on after too many
    return Training(
        settings,
        accelerator,
        *prepared,
        state.get("step", 0),
        bare_model=model,
        bare_optimizer=optimizer,
        zero=zero,
        finite=FiniteSteps(accelerator.device, most_in_a_row=most, steps_ahead=ahead),
        corpus_digest=corpus.digest,
        attempt=attempt,
        agreement=agreement,
        preprocess=OnDevice(settings.preprocess, accelerator.device),
        earlier_seconds=state.get("seconds", 0.0),
    )


def train_step(training: Training, parts: list[MaskedBatch]) -> dict[str, Tensor]:
    """Do one optimiser step; return gradient norm, and loss as its share on this process.

    The mean of the shares over all processes is the loss of the batch. A step whose loss or
    gradient is not finite changes no weight. Raises InputError on every process if it may not be
    skipped; on a GPU that is found out, and raised, up to two steps later.
    """
    settings, accelerator = training.settings, training.accelerator
    for group in training.optimizer.param_groups:
        group["lr"] = training.lr
    loss = torch.zeros((), device=accelerator.device)
    weights = part_weights(parts, accelerator)
    for number, (part, weight) in enumerate(zip(parts, weights, strict=True)):
        is_last = number == len(parts) - 1
        with nullcontext() if is_last or training.zero else accelerator.no_sync(training.model):
            arguments = model_arguments(training, part)
            share = weight * reconstruct(training, training.model, arguments).loss
            loss = loss + share.detach()
            _backward(training, poisoned(share, loss) if is_last else share, is_last=is_last)
    norm = _update(training)
    keys = [key for part in parts for key in part.batch.keys]
    training.finite.note(training.now(keys), loss=loss, norm=norm)
    training.step += 1
    training.settle(leave=training.finite.steps_ahead if training.step % settings.log_every else 0)
    return {"train/loss": loss, "train/grad_norm": norm}


def _backward(training: Training, share: Tensor, *, is_last: bool) -> None:
    if training.zero:
        training.zero.backward(share, is_last=is_last)
    else:
        training.accelerator.backward(share)


def _update(training: Training) -> Tensor:
    """Do the optimiser's step unless it is not finite, without a look at it; return the norm."""
    if training.zero:
        return training.zero.step().to(training.accelerator.device)
    parameters, clip_norm = training.model.parameters(), training.settings.clip_norm
    norm = training.accelerator.clip_grad_norm_(parameters, clip_norm)
    training.bare_optimizer.found_inf = training.finite.found_inf(norm)
    training.optimizer.step()
    training.optimizer.zero_grad()
    return norm


def part_weights(parts: Sequence[MaskedBatch], accelerator: Accelerator) -> Tensor:
    """Return for each part its share of the counted patches of the batch, times the processes.

    These weights make the loss and, once averaged over the processes, the gradient those of the
    undivided batch.
    """
    shape = {"size": (), "device": accelerator.device}  # filled there: no copy to wait for
    counted = torch.stack([torch.full(fill_value=float(part.counted), **shape) for part in parts])
    return counted * accelerator.num_processes / accelerator.reduce(counted.sum(), reduction="sum")


def validate(training: Training, data: Split, totals: ErrorTotals | None = None) -> float:
    """Return the mean error over fixed recordings and masks, over all processes.

    `totals` is added what each group of leads contributes. Raises InputError if the mean is not
    finite.
    """
    training.settle()
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
        raise not_finite(settings.run_dir, training.now(), f"validation loss {mean:.4g}")
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
    with (training.zero or training.accelerator).autocast():
        return model(leads=training.settings.preprocess.leads, **arguments)
