"""Settings of pretraining, and which of them a run keeps when it goes on."""

import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from lamae.autoencoder import AutoencoderSettings
from lamae.config import FolderPath, Settings
from lamae.errors import InputError
from lamae.leads import LEAD_GROUPS
from lamae.preprocess import Preprocessor
from lamae.tracking import TrackingSettings
from pretrain.augmentation import AugmentationSettings
from pretrain.online_probe import ProbeSettings
from pretrain.pictures import PictureSettings
from pretrain.retention import Retention

_log = logging.getLogger(__name__)
_DECIDE_TRAINING = (
    "seed",
    "batch_size",
    "lr",
    "betas",
    "weight_decay",
    "warmup_steps",
    "clip_norm",
    "crop",
    "augmentation",
)  # not steps, which may be raised; architecture and preprocessor are checked with the weights

_BEFORE_THEY_WERE = {"crop": "first", "augmentation": AugmentationSettings().model_dump()}
"""How versions without these settings trained."""


class PretrainSettings(Settings):
    """One pretraining run."""

    data: FolderPath
    """Folder of shards."""
    run_dir: FolderPath
    """Where the run writes checkpoints, logs and its summary."""
    resume: bool = False
    """Go on from the newest checkpoint in run_dir."""
    seed: int = Field(0, ge=0)
    """Decides weights, order of samples, windows, augmentations and masks."""
    cpu_threads: int | None = Field(None, gt=0)
    """Threads of each process where there is no GPU; by default its share of the cores."""
    preprocess: Preprocessor = Preprocessor()
    """From a recording to the array the model reads."""
    model: AutoencoderSettings = AutoencoderSettings()
    """Architecture."""
    steps: int = Field(10_000, gt=0)
    """Optimiser steps; another number on resuming changes the learning rates of those that remain.

    They then follow the schedule of a run of that length, and a warning names both numbers."""
    batch_size: int = Field(256, gt=0)
    """Recordings in an optimiser step, over all processes."""
    data_workers: int = Field(1, ge=0)
    """Threads of each process that prepare batches ahead; 0 prepares each when it is needed."""
    preprocess_on: Literal["auto", "host", "device"] = "auto"
    """Where recordings are filtered and normalised: by the host on a CPU, else on the device."""
    residency: Literal["stream", "ram", "device"] = "stream"
    """Where recordings are kept: in the shards, or all in the memory of host or device."""
    crop: Literal["first", "random"] = "first"
    """The window of a recording that is longer than one, in training; validation sees the first."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """Random changes of the recordings that are trained on, off by default."""
    max_damaged: float = Field(0.01, ge=0, le=1)
    """Share of damaged samples, which others stand in for, past which the run ends.

    Each process counts what it has read since it began; ten damaged samples end no run."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the model; weights, loss and optimiser are always fp32."""
    compile: bool = False
    """Compile the model with torch.compile; takes a minute, and pays on GPUs."""
    non_finite: Literal["stop", "skip"] = "stop"
    """What becomes of a step whose loss or gradient is not finite; no weight is ever changed."""
    most_skipped: int = Field(10, ge=1)
    """Steps that may be skipped in a row before the run stops after all."""
    accumulation: int = Field(1, gt=0)
    """Parts in which each process computes its share of a batch."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate of AdamW."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of AdamW's moments."""
    weight_decay: float = Field(0.05, ge=0)
    """On matrices only."""
    warmup_steps: int = Field(500, ge=0)
    """Steps over which the learning rate rises."""
    clip_norm: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    log_every: int = Field(20, gt=0)
    """Steps between rows of the log."""
    validate_every: int = Field(500, gt=0)
    """Steps between validation losses."""
    validation_samples: int = Field(512, gt=0)
    """Recordings of the validation split, with the same masks each time."""
    probe: ProbeSettings = ProbeSettings()
    """A linear probe of the encoder as it is, off by default."""
    pictures: PictureSettings = PictureSettings()
    """Reconstructions on ECG paper, off by default."""
    tracking: TrackingSettings = TrackingSettings()
    """Where scalars go besides metrics.jsonl and TensorBoard."""
    checkpoint_every: int = Field(500, gt=0)
    """Steps between checkpoints."""
    retention: Retention = Retention()
    """Checkpoints to keep."""
    max_hours: float | None = Field(None, gt=0)
    """Save and stop once the process has run for so long; leave time for a step and a save."""
    timeout_s: float = Field(1800.0, gt=0)
    """End the process where a step, a validation or a save takes longer."""

    @property
    def patches(self) -> int:
        """Patches of a lead."""
        return self.preprocess.samples // self.model.encoder.patch_size

    @model_validator(mode="after")
    def _consistent(self) -> "PretrainSettings":
        patch = self.model.encoder.patch_size
        if self.preprocess.samples % patch or self.preprocess.samples < 2 * patch:
            raise ValueError(
                f"{self.preprocess.samples} samples (preprocess.duration_s * sampling_rate) must "
                f"be a multiple of model.encoder.patch_size {patch}, and at least two patches"
            )
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be below steps {self.steps}")
        if self.model.encoder.millivolts and self.preprocess.normalisation != "none":
            raise ValueError(
                "model.encoder.millivolts z-scores recordings itself: set preprocess.normalisation "
                "to none"
            )
        limb = sum(lead in LEAD_GROUPS["limb"] for lead in self.preprocess.leads)
        if self.model.einthoven_weight and (limb < 3 or self.preprocess.normalisation == "lead"):
            raise ValueError(
                "model.einthoven_weight needs three limb leads on one scale: set preprocess.leads "
                "to 12 and preprocess.normalisation to record"
            )
        return self


def check_same_training(
    checkpoint: Path, before: dict[str, Any], settings: PretrainSettings
) -> None:
    """Refuse to go on with settings under which the steps already done would have been others."""
    now = settings.model_dump(mode="json")
    before = _BEFORE_THEY_WERE | before
    for key in _DECIDE_TRAINING:
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
            value=f"shards with digest {before[:12]}",
            expected=f"{now[:12]}, of {settings.data}",
            remedy="Resume with the data it was made with, or use another run_dir.",
        )


def warn_of_another_schedule(before: dict[str, Any], settings: PretrainSettings) -> None:
    """Say so if the remaining steps follow other learning rates than those already done."""
    if before["steps"] != settings.steps:
        _log.warning(
            "steps was %d and is now %d: the steps that remain follow the learning rates of a run "
            "of the new length, those already done followed the old",
            before["steps"],
            settings.steps,
        )
