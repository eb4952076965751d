"""Start of a run: its model and optimiser from the seed, or from the newest checkpoint."""

import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from lamae.batches.dataset import Split
from lamae.batches.mixture import Mixture
from lamae.batches.raw_batches import OnDevice
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE
from lamae.model.checkpoint import load_autoencoder
from lamae.model.model_folder import read_tensors
from lamae.runs.run_folder import AVERAGE
from lamae.storage.corpus import Corpus
from lamae.training.training_state import load_checkpoint
from lamae.training.weight_average import WeightAverage
from pretrain.data import Corpora, training_walk
from pretrain.finite import FiniteSteps
from pretrain.loop import Training
from pretrain.processes.attempt import begin_attempt
from pretrain.processes.fully_sharded import FullyShardedModel
from pretrain.processes.launch import check_batch_size
from pretrain.processes.saving import Saving
from pretrain.processes.stopping import Agreement
from pretrain.processes.zero import Zero, optimizer_of, uses_zero
from pretrain.settings import AugmentationSettings, PretrainSettings

_STATISTICS_OF = 512
"""Recordings by which targets are normalised."""

_log = logging.getLogger(__name__)
_DECIDE_TRAINING = (
    "seed",
    "start_from",
    "batch_size",
    "lr",
    "betas",
    "weight_decay",
    "warmup_steps",
    "clip_norm",
    "crop",
    "augmentation",
    "order",
    "block_shards",
)  # not steps, which may be raised; architecture and preprocessor are checked with the weights

_BEFORE_THEY_WERE = {
    "start_from": None,
    "crop": "first",
    "augmentation": AugmentationSettings().model_dump(),
    "order": "global",
}
"""Values under which versions without these settings trained."""


def start_training(
    settings: PretrainSettings, accelerator: Accelerator, corpus: Corpus | Corpora
) -> Training:
    """Build model and optimiser from the seed, or from the newest checkpoint to resume.

    Raises InputError where run_dir holds another run, or one on other data.
    """
    check_batch_size(settings, accelerator)
    torch.manual_seed(settings.seed)
    model = LAMAE(settings.model).to(accelerator.device)
    if settings.start_from is not None:
        take_weights(model, settings)
    spreads = settings.fsdp and accelerator.num_processes > 1
    sharded = FullyShardedModel(settings, accelerator, model) if spreads else None
    if settings.activation_checkpointing:
        model.checkpoint_activations()
    optimizer = optimizer_of(settings, model)
    timeout = timedelta(seconds=settings.timeout_s)
    agreement, exchange = Agreement(timeout=timeout), Agreement(timeout=timeout)
    attempt, newest = begin_attempt(settings, accelerator, agreement)
    state: dict[str, Any] = {}
    if newest:
        preprocessor = settings.preprocess
        state = load_checkpoint(newest, model=model, optimizer=optimizer, preprocessor=preprocessor)
        check_same_training(newest, state["settings"], settings)
        check_same_corpus(newest, state.get("corpus", corpus.digest), corpus.digest, settings)
        if accelerator.is_main_process:
            warn_of_another_schedule(state["settings"], settings)
            warn_of_another_average(state["settings"], settings)
    average = average_of(settings, model, newest)
    if settings.compile:
        model.compile(dynamic=False)
    zero = Zero(settings, accelerator, model, optimizer) if uses_zero(accelerator) else None
    prepared: tuple[Any, Any] = (model, optimizer)  # as fully_shard leaves them
    if not sharded:
        prepared = zero.prepared if zero else accelerator.prepare(model, optimizer)
    most = settings.max_skipped if settings.non_finite == "skip" else 0
    ahead = 0 if zero else None  # DeepSpeed passes over such a step, but would go on after too many
    return Training(
        settings,
        accelerator,
        *prepared,
        state.get("step", 0),
        bare_model=model,
        bare_optimizer=optimizer,
        zero=zero,
        sharded=sharded,
        average=average,
        finite=FiniteSteps(accelerator.device, most_in_a_row=most, steps_ahead=ahead),
        corpus_digest=corpus.digest,
        attempt=attempt,
        agreement=agreement,
        saving=Saving(
            settings.run_dir,
            settings.retention,
            attempt=attempt,
            agreement=agreement,
            exchange=exchange,
        ),
        preprocess=OnDevice(settings.preprocess, accelerator.device),
        earlier_seconds=state.get("seconds", 0.0),
    )


def average_of(
    settings: PretrainSettings, model: LAMAE, checkpoint: Path | None
) -> WeightAverage | None:
    """Return the average of a run that keeps one: that of its checkpoint, or of what begins now."""
    if settings.ema is None:
        return None
    average = WeightAverage(model, settings.ema)
    if checkpoint and (checkpoint / AVERAGE).is_file():  # whole, as all of the checkpoint is
        average.model.load_state_dict(read_tensors(checkpoint / AVERAGE))
    return average


def take_weights(model: LAMAE, settings: PretrainSettings) -> None:
    """Start with the weights of another model; raises InputError for one of another kind."""
    assert settings.start_from is not None, "it is given"
    other = load_autoencoder(settings.start_from)
    for key, theirs, ours in (
        ("model", other.model.settings, settings.model),
        ("preprocess", other.preprocessor, settings.preprocess),
    ):
        if theirs != ours:
            differ = [name for name, value in theirs if value != getattr(ours, name)]
            raise InputError(
                f"start_from {settings.start_from}, {key}",
                value=f"another {', '.join(differ)}",
                expected=f"the {key} of this run",
                remedy=f"Copy {key} from its config.json.",
            )
    model.load_state_dict(other.model.state_dict())


def set_statistics(training: Training, data: Split | Mixture) -> None:
    """Normalise the targets by the first training recordings; the weights hold the result."""
    model, settings = training.bare_model, training.settings
    if model.features is None:
        return
    count = min(_STATISTICS_OF, len(data))
    batch = data.batch(training_walk(settings, data).positions(0, count))
    if batch.samples is not None:  # padding has no features of a recording
        whole = batch.samples == batch.signal.shape[-1]
        if whole.any():
            present = None if batch.present is None else batch.present[whole]
            batch = batch._replace(signal=batch.signal[whole], present=present)
    device = training.accelerator.device
    present = None if batch.present is None else batch.present.to(device)
    model.set_statistics(batch.signal.to(device), present)


def check_same_training(
    checkpoint: Path, before: dict[str, Any], settings: PretrainSettings
) -> None:
    """Refuse to go on with settings under which the steps already done would have been others."""
    now = settings.model_dump(mode="json")
    before = _BEFORE_THEY_WERE | before
    for key in _DECIDE_TRAINING:
        if key == "block_shards" and now["order"] == "global":
            continue
        if before.get(key) != now[key]:
            raise InputError(
                f"checkpoint {checkpoint}, {key}",
                value=str(before.get(key)),
                expected=f"{now[key]}, as configured",
                remedy="Resume with the value it was made with, or use another run_dir.",
            )


def check_same_corpus(checkpoint: Path, before: str, now: str, settings: PretrainSettings) -> None:
    """Refuse to go on with shards that hold something else, by their digests."""
    if before != now:
        raise InputError(
            f"checkpoint {checkpoint}, corpus",
            value=f"shards with digest {_short(before)}",
            expected=f"{_short(now)}, of {', '.join(str(s.data) for s in settings.shares)}",
            remedy="Resume with the data it was made with, or use another run_dir.",
        )


def _short(digests: str) -> str:
    """Shorten SHA-256 digests in a text."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1", digests)


def warn_of_another_schedule(before: dict[str, Any], settings: PretrainSettings) -> None:
    """Say so if the remaining steps follow other learning rates than those already done."""
    if before["steps"] != settings.steps:
        _log.warning(
            "steps was %d and is now %d: the steps that remain follow the learning rates of a run "
            "of the new length, those already done followed the old",
            before["steps"],
            settings.steps,
        )


def warn_of_another_average(before: dict[str, Any], settings: PretrainSettings) -> None:
    """Say so if the average of the weights begins only now, ends, or goes on with another decay."""
    earlier, now = before.get("ema"), settings.ema
    if earlier == now:
        return
    outcome = "its average goes on with the new decay"
    if earlier is None:
        outcome = "the average begins with the weights of the checkpoint"
    elif now is None:
        outcome = "its average is left behind, and model_ema/ is not written"
    _log.warning("ema was %s and is now %s: %s", earlier, now, outcome)
