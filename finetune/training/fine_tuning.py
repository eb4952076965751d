"""Training of a classifier: steps, early stopping on held-out patients, the best epoch kept.

A step is divided into micro-batches of fixed size: dropout is drawn from (seed, step, micro-batch),
batch statistics are those of a micro-batch, and the running statistics move by the mean over
micro-batches. So any number of processes gives the same classifier, to rounding.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float
from torch import Tensor, nn
from tqdm import tqdm

from finetune.classifiers.classifier import Classifier
from finetune.classifiers.scoring import score_recordings
from finetune.data.windows import LoaderOptions
from finetune.training.batches import MicroBatch, Steps
from finetune.training.exchange import running_statistics, sum_over_processes
from finetune.training.layer_decay import decayed_adamw
from finetune.training.losses import ClassificationLoss, balanced_class_weights
from finetune.training.mixup import mix
from finetune.training.settings import TrainingSettings
from finetune.training.visible_patches import draw_visible
from lamae.batches.dataset import Split, prefetch
from lamae.errors import InputError
from lamae.statistics.metrics import class_scores, macro
from lamae.training.optim import load_optimizer, optimizer_tensors
from lamae.training.schedule import warmup_cosine

_KEYS_NAMED = 5


class Epoch(NamedTuple):
    """Measures of an epoch."""

    epoch: int
    """Its number, from 1."""
    train_loss: float
    """Mean loss of its steps."""
    hold_out_auroc: float
    """Macro AUROC on the held-out patients, over the classes that it is defined for."""


class Reached(NamedTuple):
    """State of a training."""

    best: int
    """Number of the epoch whose weights are kept."""
    history: list[Epoch]
    """All epochs so far."""
    held_out: Float[np.ndarray, "held_out classes"]
    """Probabilities of the held-out recordings in the best epoch."""


class Snapshot(NamedTuple):
    """A training after an epoch: all that it needs to go on, to the bit.

    The tensors change with the next step.
    """

    reached: Reached
    """State of the training."""
    weights: dict[str, Tensor]
    """Of the model, after the newest epoch."""
    best: dict[str, Tensor]
    """Of the model, after the best epoch."""
    moments: dict[str, Tensor]
    """Of the optimiser, as a checkpoint names them."""


class TrainingData(NamedTuple):
    """Recordings that can all be used, with who is held out."""

    train: Split
    """Recordings to learn from."""
    train_labels: Bool[np.ndarray, "recordings classes"]
    """True where one has a class."""
    held_out: Split
    """Recordings of other patients, on which the epoch is chosen."""
    held_out_labels: Bool[np.ndarray, "held_out classes"]
    """True where one has a class."""


@dataclass(frozen=True)
class Training:
    """A classifier that is being trained, and all that its steps need."""

    classifier: Classifier
    """Moved to the accelerator's device."""
    data: TrainingData
    """Recordings to train on, and recordings to stop early on."""
    settings: TrainingSettings
    """Settings of the training."""
    accelerator: Accelerator
    """Device and processes."""
    seed: int
    """Decides order, windows and dropout."""
    reading: LoaderOptions
    """Options of reading recordings, the held-out ones as well."""

    def run(
        self,
        save: Callable[[Reached], None] | None = None,
        *,
        start: Snapshot | None = None,
        after_epoch: Callable[[Snapshot], None] | None = None,
    ) -> Reached:
        """Train to the end or until patience is spent, and leave the best epoch's weights.

        `save` is called on every process when an epoch is the best so far, then `after_epoch`; from
        the snapshot that it is given another training goes on as its `start`. Raises InputError
        where a loss or a gradient is not finite.
        """
        settings, model = self.settings, self.classifier.model.to(self.accelerator.device)
        optimizer, loss = self._optimizer(), self._loss().to(self.accelerator.device)
        train, labels = self.data.train, self.data.train_labels
        steps = Steps(train, labels, settings, accelerator=self.accelerator, seed=self.seed)
        ends = [math.ceil(number * steps.per_epoch) for number in range(settings.epochs + 1)]
        history: list[Epoch] = []
        reached, best = None, {}
        if start is not None:
            reached, best = self._go_on_from(start, optimizer), start.best
            history = reached.history
        done = ends[len(history)]
        ahead = prefetch(steps.read, start=done, stop=ends[-1], workers=self.reading.workers)
        with closing(ahead):
            while not self._is_over(reached):
                number = len(history) + 1
                stretch = (ends[number - 1], ends[number], ends[-1])
                losses = self.train_epoch(ahead, optimizer, loss, steps, stretch, number)
                found = self.score_held_out()
                auroc = float(macro(class_scores(self.data.held_out_labels, found).auroc))
                history.append(Epoch(number, losses, auroc))
                if reached is None or auroc > history[reached.best - 1].hold_out_auroc:
                    best = {k: v.detach().clone() for k, v in model.state_dict().items()}
                    reached = Reached(number, history, found)
                    if save is not None:
                        save(reached)
                if after_epoch is not None:
                    moments = optimizer_tensors(model, optimizer)
                    now = reached._replace(history=[*history])
                    after_epoch(Snapshot(now, dict(model.state_dict()), best, moments))
        assert reached is not None, "there is at least one epoch"
        model.load_state_dict(best)
        return reached

    def _optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser of the parameters that are to be trained; freeze the others."""
        settings, model = self.settings, self.classifier.model
        architecture = self.classifier.architecture
        frozen = settings.freeze_encoder or architecture.mode == "attention_probe"
        if architecture.encoder is not None and frozen:
            model.get_submodule("encoder").requires_grad_(False)
        return decayed_adamw(
            model,
            architecture.encoder,
            lr=settings.lr,
            layer_decay=settings.layer_decay,
            weight_decay=settings.weight_decay,
            betas=settings.betas,
        )

    def _go_on_from(self, start: Snapshot, optimizer: torch.optim.Optimizer) -> Reached:
        """Take weights and moments from a snapshot, and return how far it had come."""
        model = self.classifier.model
        model.load_state_dict(start.weights)
        load_optimizer(model, optimizer, start.moments)
        for state in optimizer.state.values():
            if "step" in state:
                state["step"] = state["step"].cpu()  # where AdamW counts, and need not wait for it
        return start.reached._replace(history=[*start.reached.history])

    def _is_over(self, reached: Reached | None) -> bool:
        if reached is None:
            return False
        epochs, settings = len(reached.history), self.settings
        return epochs == settings.epochs or epochs - reached.best >= settings.patience

    def train_epoch(
        self,
        ahead: Iterator[list[MicroBatch]],
        optimizer: torch.optim.Optimizer,
        loss: ClassificationLoss,
        steps: Steps,
        stretch: tuple[int, int, int],
        number: int,
    ) -> float:
        """Do the steps of an epoch, of (first, end, last of all); return their mean loss."""
        first, end, last = stretch
        warmup = math.ceil(self.settings.warmup_epochs * steps.per_epoch)
        hide = not self.accelerator.is_main_process
        total = 0.0
        for step in tqdm(range(first, end), desc=f"epoch {number}", unit="step", disable=hide):
            factor = warmup_cosine(step, steps=last, warmup_steps=min(warmup, last - 1))
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
            total += self._step(next(ahead), optimizer, loss, steps.micro_batches, step)
        return total / max(end - first, 1)

    def _step(
        self,
        mine: list[MicroBatch],
        optimizer: torch.optim.Optimizer,
        criterion: ClassificationLoss,
        micro_batches: int,
        step: int,
    ) -> float:
        """Do one step, and return the loss of the batch."""
        model, accelerator = self.classifier.model.train(), self.accelerator
        running, counters = running_statistics(model)
        before = [value.clone() for value in running]
        changes = [torch.zeros_like(value) for value in running]
        total = torch.zeros((), device=accelerator.device)
        for micro_batch in mine:
            for value, old in zip(running, before, strict=True):
                value.copy_(old)
            seed = _seed(self.seed, step, micro_batch.number)
            torch.manual_seed(seed)
            share = self._loss_of(micro_batch, criterion, seed) / micro_batches
            share.backward()
            total += share.detach()
            for value, old, change in zip(running, before, changes, strict=True):
                change += (value - old) / micro_batches
        trained = [p for p in model.parameters() if p.grad is not None]
        gradients = [p.grad for p in trained if p.grad is not None]
        sum_over_processes([total, *gradients, *changes], accelerator)
        for value, old, change in zip(running, before, changes, strict=True):
            value.copy_(old + change)
        for counter in counters:
            counter.sub_(len(mine) - 1)  # of micro-batches of this process, to steps
        norm = nn.utils.clip_grad_norm_(trained, self.settings.clip_norm)
        if not torch.isfinite(total + norm):
            self._refuse(mine, optimizer, f"loss {total:.4g}, gradient norm {norm:.4g}", step)
        optimizer.step()
        optimizer.zero_grad()
        return float(total)

    def _loss_of(self, micro_batch: MicroBatch, criterion: ClassificationLoss, seed: int) -> Tensor:
        """Return the loss of a micro-batch, of which a part may be hidden, or mixed."""
        settings, device = self.settings, self.accelerator.device
        mixed = mix(micro_batch.batch, settings.mixup, seed) if settings.mixup else None
        batch = mixed.batch if mixed else micro_batch.batch
        mask = draw_visible(self.classifier, batch, settings.visible_share, seed)
        with self.accelerator.autocast():
            logits = self.classifier.outputs(batch, device, mask=mask).logits
        loss: Tensor = criterion(logits, micro_batch.labels.to(device))
        if mixed is None:
            return loss
        other: Tensor = criterion(logits, micro_batch.labels[mixed.partner].to(device))
        return torch.lerp(other, loss, mixed.share)

    def score_held_out(self) -> np.ndarray:
        """Return float64 (held_out, classes): probabilities of the held-out recordings."""
        held_out, accelerator = self.data.held_out, self.accelerator
        scored = score_recordings(self.classifier, held_out, self.reading, accelerator=accelerator)
        if scored.unusable or not np.isfinite(scored.probabilities).all():
            raise InputError(
                "held-out patients",
                value=f"probabilities that are not finite, or unusable: {scored.unusable}",
                expected="a probability for each recording",
                remedy="Lower training.lr, or check the shards.",
            )
        return scored.probabilities

    def _loss(self) -> ClassificationLoss:
        settings, labels = self.settings, torch.from_numpy(self.data.train_labels)
        multi_label = self.classifier.architecture.multi_label
        weights = None
        if settings.class_weights == "balanced":
            weights = balanced_class_weights(labels, multi_label=multi_label)
        gamma = settings.focal_gamma if settings.loss == "focal" else 0.0
        return ClassificationLoss(multi_label=multi_label, gamma=gamma, weights=weights)

    def _refuse(
        self, mine: list[MicroBatch], optimizer: torch.optim.Optimizer, found: str, step: int
    ) -> None:
        keys = [key for micro_batch in mine for key in micro_batch.batch.keys][:_KEYS_NAMED]
        lr = max(group["lr"] for group in optimizer.param_groups)
        raise InputError(
            f"training of {self.classifier.architecture.mode}, step {step + 1}, lr {lr:.4g}",
            value=f"{found} with records {', '.join(keys)}, ...",
            expected="finite numbers",
            remedy="Train again with a lower training.lr or more training.warmup_epochs.",
        )


def _seed(seed: int, step: int, micro_batch: int) -> int:
    return int(
        np.random.SeedSequence([seed, step, micro_batch]).generate_state(1, np.uint64)[0] >> 1
    )
