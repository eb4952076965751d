"""Settings of pretraining; they load without torch."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from lamae.config import FolderPath, Settings
from lamae.ecg.leads import LEAD_GROUPS
from lamae.ecg.preprocess import Preprocessor
from lamae.model.settings import AutoencoderSettings
from lamae.runs.tracking import TrackingSettings


class AugmentationSettings(Settings):
    """Augmentations; all are off by default. A shift in time is the setting `crop`.

    The unit of the signal is what the preprocessor leaves: deviations, or millivolts.
    """

    scale_probability: float = Field(0.0, ge=0, le=1)
    """Share of recordings whose amplitude is scaled, by one factor for all leads."""
    scale_strength: float = Field(0.2, ge=0)
    """The factor lies between 1 / (1 + strength) and 1 + strength, its logarithm uniformly."""
    noise_probability: float = Field(0.0, ge=0, le=1)
    """Share of recordings to which white Gaussian noise is added, another in each lead."""
    noise_strength: float = Field(0.1, ge=0)
    """Root mean square of the noise, in the unit of the signal."""
    wander_probability: float = Field(0.0, ge=0, le=1)
    """Share of recordings whose baseline wanders: a sine of 0.05 to 0.5 Hz, shifted by lead."""
    wander_strength: float = Field(0.2, ge=0)
    """Root mean square of a whole period of the sine, in the unit of the signal."""
    dropout_probability: float = Field(0.0, ge=0, le=1)
    """Share of recordings that lose leads, which then count as absent."""
    dropout_strength: float = Field(0.5, ge=0, le=1)
    """Probability with which each lead is lost; one always stays."""

    @property
    def is_on(self) -> bool:
        """True where any recording is changed."""
        return any(
            (
                self.scale_probability,
                self.noise_probability,
                self.wander_probability,
                self.dropout_probability,
            )
        )


class ProbeSettings(Settings):
    """Steps and recordings of the probe."""

    every: int | None = Field(None, gt=0)
    """Steps between probes; null for none."""
    data: FolderPath | None = None
    """Folder of labelled shards; by default the one that the run trains on."""
    label_set: str = "superclass"
    """Label set of the shards to predict."""
    records: int = Field(2000, gt=1)
    """Most recordings to fit on, and most to evaluate on: one of each patient."""
    batch_size: int = Field(64, gt=0)
    """Recordings that each process embeds at once."""


class PictureSettings(Settings):
    """Steps and recordings of pictures."""

    every: int | None = Field(None, gt=0)
    """Steps between pictures; null for none."""
    records: int = Field(1, gt=0)
    """Recordings of the validation split to draw."""


class Retention(Settings):
    """Checkpoints to keep; one that any of these rules keeps is kept."""

    keep_last: int = Field(2, gt=0)
    """The newest ones."""
    keep_best: bool = True
    """The one with the lowest validation loss."""
    milestone_every: int | None = Field(None, gt=0)
    """Those whose step is a multiple of this; null for none."""


class PretrainSettings(Settings):
    """One pretraining run."""

    renamed: ClassVar = {"most_skipped": "max_skipped"}
    data: FolderPath
    """Folder of shards."""
    run_dir: FolderPath
    """Folder for checkpoints, logs and the summary."""
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
    """Place of filtering and normalisation: the host, or the device if it is a GPU."""
    residency: Literal["stream", "ram", "device"] = "stream"
    """Place of recordings: in the shards, or all in the memory of host or device."""
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
    """Consequence of a step whose loss or gradient is not finite; no weight is ever changed."""
    max_skipped: int = Field(10, ge=1)
    """Steps that may be skipped in a row before the run stops after all."""
    accumulation: int = Field(1, gt=0)
    """Micro-batches in which each process computes its share of a batch."""
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
    """Destinations of scalars besides metrics.jsonl and TensorBoard."""
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
        limb = sum(lead in LEAD_GROUPS["limb"] for lead in self.preprocess.leads)
        if self.model.einthoven_weight and (limb < 3 or self.preprocess.normalisation == "lead"):
            raise ValueError(
                "model.einthoven_weight needs three limb leads on one scale: set preprocess.leads "
                "to 12 and preprocess.normalisation to record"
            )
        return self
