"""The training loop: its state, its data, one step, validation."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from lamae.batches.dataset import Split
from lamae.batches.raw_batches import OnDevice
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE, Reconstruction
from lamae.model.objective.lead_alignment import alignment_share
from lamae.runs.run_folder import Attempt
from lamae.training.checkpoint_writing import Draft, draft
from lamae.training.optim import AdamW
from lamae.training.pieces import pieces_of_state
from lamae.training.schedule import warmup_cosine
from lamae.training.weight_average import WeightAverage
from pretrain.batches import MaskedBatch, validation_batches
from pretrain.cost.forward_time import ForwardTime
from pretrain.finite import FiniteSteps, Step, are_finite, not_finite, poisoned
from pretrain.monitoring.lead_errors import LeadErrors
from pretrain.processes.faults import Faults
from pretrain.processes.fully_sharded import FullyShardedModel
from pretrain.processes.saving import Saving
from pretrain.processes.stopping import Agreement
from pretrain.processes.zero import Zero
from pretrain.retention import VALIDATION_LOSS
from pretrain.settings import PretrainSettings

_log = logging.getLogger(__name__)


@dataclass
class Training:
    """Everything that a step changes."""

    settings: PretrainSettings
    accelerator: Accelerator
    model: nn.Module
    """Module that computes a micro-batch: the autoencoder, or accelerate's wrapper around it."""
    optimizer: torch.optim.Optimizer
    step: int = 0
    """Optimiser steps done, or asked for and not yet looked at."""
    bare_model: LAMAE = field(kw_only=True)
    """The model without what accelerate wraps around it."""
    bare_optimizer: AdamW = field(kw_only=True)
    """The optimiser without what accelerate wraps around it."""
    zero: Zero | None = field(default=None, kw_only=True)
    """DeepSpeed, where the program was launched under it."""
    sharded: FullyShardedModel | None = field(default=None, kw_only=True)
    """FSDP2, where the settings ask for it and there are several processes."""
    average: WeightAverage | None = field(default=None, kw_only=True)
    """The moving average of the weights, where the run keeps one."""
    finite: FiniteSteps = field(kw_only=True)
    """Steps that were not finite, and change nothing."""
    corpus_digest: str = field(kw_only=True)
    """Digest of the shards' content, which resuming compares."""
    attempt: Attempt | None = field(kw_only=True)
    """The right to write in run_dir; the main process alone has one."""
    agreement: Agreement = field(kw_only=True)
    """Agreement of the processes to stop."""
    saving: Saving = field(kw_only=True)
    """Writes checkpoints while training goes on."""
    preprocess: OnDevice = field(kw_only=True)
    """The preprocessor for batches that the host has not prepared."""
    faults: Faults = field(default_factory=Faults, kw_only=True)
    """Faults of this process in what it writes beside checkpoints."""
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

    @cached_property
    def forward_time(self) -> ForwardTime:
        """Time of this process in the forward passes of its steps."""
        return ForwardTime(self.accelerator.device)

    @property
    def lr(self) -> float:
        """Learning rate of the step that comes next."""
        steps, warmup_steps = self.settings.steps, self.settings.warmup_steps
        return self.settings.lr * warmup_cosine(self.step, steps=steps, warmup_steps=warmup_steps)

    @property
    def autoencoder(self) -> LAMAE:
        """The whole model; every process must ask for it, as its weights may be spread."""
        return self.spread.whole_model() if self.spread else self.bare_model

    @property
    def spread(self) -> Zero | FullyShardedModel | None:
        """ZeRO or FSDP2, where either spreads weights or moments over the processes."""
        return self.zero or self.sharded

    def settle(self, *, leave: int = 0) -> None:
        """Look how the steps went that were asked for, but for the newest `leave`.

        Raises InputError, on every process, where one was not finite and may not be skipped; no
        weight has changed since then.
        """
        for found in self.finite.read(leave=leave):
            if found.in_a_row > self.finite.most_in_a_row:
                raise self.not_finite(found.step, found.text)
            _log.warning("step %d skipped: %s", found.step.number + 1, found.text)

    def save(self, *, wait: bool = True) -> float:
        """Copy the state and have it written as a checkpoint; with `wait`, wait until it is.

        Returns the seconds for which the checkpoint before had to be waited for. Raises InputError
        if weights or moments are not finite, and what kept either checkpoint from being written.
        """
        self.settle()
        waited_s = self.saving.wait()
        if self.zero:
            model, optimizer, is_finite = self.zero.gather()
        else:
            model, optimizer = self.bare_model, self.bare_optimizer
            held = pieces_of_state(model, optimizer).values()
            is_finite = are_finite([piece.tensor for pieces in held for piece in pieces.values()])
            is_finite = not self.agreement.highest(not is_finite)
        if not is_finite:
            raise self.not_finite(self.now(), "weights or moments of AdamW")
        self.saving.begin(self._draft(model, optimizer))
        if wait:
            self.saving.wait()
        return waited_s

    def not_finite(self, step: Step, found: str) -> InputError:
        """Return the error of a run that came upon what is not finite; every process must call it.

        It names the newest checkpoint, once none is being written any more.
        """
        self.saving.wait()
        return not_finite(self.settings.run_dir, step, found)

    def now(self, keys: Sequence[str] = ()) -> Step:
        """Return the step that comes next, with its recordings."""
        return Step(self.step, self.lr, tuple(keys))

    def _draft(self, model: LAMAE | None, optimizer: AdamW | None) -> Draft:
        """Return what this process writes: its part, or all on the main process alone."""
        is_writing = self.attempt is not None or self.sharded is not None
        if not is_writing or model is None or optimizer is None:
            return Draft(self.step, {}, {}, None)
        step, loss = self.validated or (-1, None)
        return draft(
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
            copies=self.saving.copies,
            shard=self.sharded.shard if self.sharded else None,
            average=self.average.model if self.average else None,
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
        with nullcontext() if is_last or training.spread else accelerator.no_sync(training.model):
            arguments = model_arguments(training, part)
            with training.forward_time.measured():
                share = weight * reconstruct(training, training.model, arguments).loss
            loss = loss + share.detach()
            _backward(training, poisoned(share, loss) if is_last else share, is_last=is_last)
    norm = _update(training)
    keys = [key for part in parts for key in part.batch.keys]
    training.finite.note(training.now(keys), loss=loss, norm=norm)
    training.step += 1
    if training.average:
        training.average.update(training.bare_model, steps=training.step)
    training.settle(leave=training.finite.steps_ahead if training.step % settings.log_every else 0)
    return {"train/loss": loss, "train/grad_norm": norm}


def _backward(training: Training, share: Tensor, *, is_last: bool) -> None:
    if training.spread:
        training.spread.backward(share, is_last=is_last)
    else:
        training.accelerator.backward(share)


def _update(training: Training) -> Tensor:
    """Do the optimiser's step unless it is not finite, without a look at it; return the norm."""
    if training.zero:
        return training.zero.step().to(training.accelerator.device)
    if training.sharded:
        return training.sharded.step(training.bare_optimizer, training.finite)
    parameters, clip_norm = training.model.parameters(), training.settings.clip_norm
    norm = training.accelerator.clip_grad_norm_(parameters, clip_norm)
    training.bare_optimizer.found_inf = training.finite.found_inf(norm)
    training.optimizer.step()
    training.optimizer.zero_grad()
    return norm


def part_weights(parts: Sequence[MaskedBatch], accelerator: Accelerator) -> Tensor:
    """Return for each micro-batch its share of the batch's counted patches, times the processes.

    These weights make the loss and, once averaged over the processes, the gradient those of the
    undivided batch.
    """
    shape = {"size": (), "device": accelerator.device}  # filled there: no copy to wait for
    counted = torch.stack([torch.full(fill_value=float(part.counted), **shape) for part in parts])
    return counted * accelerator.num_processes / accelerator.reduce(counted.sum(), reduction="sum")


def validate(training: Training, data: Split, lead_errors: LeadErrors | None = None) -> float:
    """Return the mean error over fixed recordings and masks, over all processes, and keep it.

    Errors by group of leads are added to `lead_errors`. Raises InputError if the mean is not
    finite.
    """
    model = training.autoencoder
    found = mean_error(training, model.eval(), data, lead_errors)
    model.train()
    training.validated = (training.step, found)
    return found


def mean_error(
    training: Training, model: LAMAE, data: Split, lead_errors: LeadErrors | None = None
) -> float:
    """Return what `validate` does, of a model that may have other weights; nothing is kept."""
    training.settle()
    settings, accelerator = training.settings, training.accelerator
    total = torch.zeros(2, device=accelerator.device)
    with torch.no_grad():
        for part in validation_batches(settings, accelerator, data):
            arguments = model_arguments(training, part)
            found = reconstruct(training, model, arguments)
            weighted = found.error * part.counted
            total += torch.stack([weighted, torch.full_like(weighted, part.counted)])
            if lead_errors is not None:
                lead_errors.add(model, found, arguments["signal"], arguments["recorded"])
    error_sum, counted = accelerator.reduce(total, reduction="sum")
    mean = error_sum / counted
    if not torch.isfinite(mean):
        raise training.not_finite(training.now(), f"validation loss {mean:.4g}")
    return mean.item()


def model_arguments(training: Training, part: MaskedBatch) -> dict[str, Any]:
    """Return the autoencoder's arguments for a micro-batch, on the device."""
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
    """Reconstruct a micro-batch in the precision of the run."""
    with (training.spread or training.accelerator).autocast():
        return model(leads=training.settings.preprocess.leads, **arguments)
