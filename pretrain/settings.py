"""Settings of pretraining; they load without torch."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from lamae.batches.order import OrderKind
from lamae.config import FolderPath, Settings
from lamae.ecg.leads import LEAD_GROUPS
from lamae.ecg.preprocess import Preprocessor
from lamae.model.settings import AutoencoderSettings
from lamae.remote.locations import Location
from lamae.runs.tracking import TrackingSettings
from lamae.storage.settings import CacheSettings


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
    data: Location | None = None
    """Folder or URL of labelled shards; by default what the run trains on, or the first of it."""
    label_set: str = "superclass"
    """Label set of the shards to predict."""
    records: int = Field(2000, gt=1)
    """Most recordings to fit on, and most to evaluate on: one of each patient."""
    batch_size: int = Field(64, gt=0)
    """Recordings that each process embeds at once."""
    layers: bool = False
    """Probe what leaves every block, not the last one alone."""


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


class CorpusShare(Settings):
    """One corpus of a mixture."""

    data: Location
    """Folder or URL of shards."""
    weight: float = Field(1.0, gt=0)
    """Its share of every batch, relative to the weights of the others."""
    name: str | None = Field(None, min_length=1)
    """Name in logs and in keys; by default that of the folder."""

    @model_validator(mode="before")
    @classmethod
    def _of_place(cls, value: object) -> object:
        """Take a folder by itself, which then has the weight 1."""
        return {"data": value} if isinstance(value, str | Path) else value

    @property
    def named(self) -> str:
        """The name, given or not."""
        return self.name or str(self.data).rstrip("/").rpartition("/")[2]


def _one_or_several(value: object) -> str:
    return "several" if isinstance(value, list | tuple) else "one"


Data = Annotated[
    Annotated[Location, Tag("one")] | Annotated[tuple[CorpusShare, ...], Tag("several")],
    Discriminator(_one_or_several),
]
"""Folder or URL of shards, or several with their shares."""


class PretrainSettings(CacheSettings):
    """One pretraining run."""

    renamed: ClassVar = {"most_skipped": "max_skipped"}
    data: Data
    """Shards: a folder, or its URL (s3://, gs://, az://, https://, hf://), or a list of several:
    `[{data: a, weight: 2}, {data: b, weight: 1}]`.

    Of several, each has its share of every batch, by weight, and is validated by itself."""
    run_dir: FolderPath
    """Folder for checkpoints, logs and the summary."""
    resume: bool = False
    """Go on from the newest checkpoint in run_dir."""
    start_from: FolderPath | None = None
    """Model, checkpoint or run of the same architecture whose weights are the first; by default
    they are drawn. So an encoder is made to fit other recordings."""
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
    """Place of recordings: in the shards, or all in memory, that of each machine or each device."""
    order: OrderKind = "global"
    """Order of recordings: any may follow any, or those of a window of shuffled shards are mixed.

    With `blocks`, shards that are read from afar are needed only while they are in the window."""
    block_shards: int = Field(16, gt=0)
    """Shards in the window of `order: blocks`."""
    crop: Literal["first", "random"] = "first"
    """The window of a recording that is longer than one, in training; validation sees the first."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """Random changes of the recordings that are trained on, off by default."""
    max_damaged: float = Field(0.01, ge=0, le=1)
    """Share of damaged samples, which others stand in for, past which the run ends.

    Each process counts what it has read since it began; ten damaged samples end no run."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the model; weights, loss and optimiser are always fp32."""
    deterministic: bool = False
    """Let torch use deterministic algorithms alone, or end where an operation has none.

    On a CPU runs are the same without it; on GPUs it may cost time."""
    compile: bool = False
    """Compile the model with torch.compile; takes a minute, and pays on GPUs."""
    fsdp: bool = False
    """Spread weights, gradients and moments over the processes by FSDP2, which save and load each
    their part. With one process it changes nothing; neither with DeepSpeed nor with compile."""
    activation_checkpointing: bool = False
    """Keep the inputs of transformer blocks alone, and compute the blocks again in backward.

    A step does a third more work, and takes a fraction of the memory; results are the same."""
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
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay in each step of a moving average of the weights, as 0.999; null for none.

    It is logged as val_ema/loss, and model_ema/ is the model that has it at the end. It changes
    nothing in training; a run that goes on with another value says so."""
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
    def shares(self) -> tuple[CorpusShare, ...]:
        """The corpora, of which a lone one has all of every batch."""
        return self.data if isinstance(self.data, tuple) else (CorpusShare(data=self.data),)

    @property
    def patches(self) -> int:
        """Patches of a lead."""
        return self.preprocess.samples // self.model.encoder.patch_size

    @model_validator(mode="after")
    def _tried_together(self) -> "PretrainSettings":
        if self.compile and self.activation_checkpointing:
            raise ValueError(
                "compile and activation_checkpointing are not used together: set one to false"
            )
        if self.fsdp and self.compile:
            raise ValueError("fsdp and compile exclude each other: set one of them to false")
        if self.fsdp and (self.activation_checkpointing or self.ema is not None):
            raise ValueError(
                "fsdp is not used with ema or activation_checkpointing: set ema to null and "
                "activation_checkpointing to false, or fsdp to false"
            )
        return self

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
        if not self.shares:
            raise ValueError("data must name at least one folder of shards")
        for key in ("data", "named"):
            values = [str(getattr(share, key)) for share in self.shares]
            if len(set(values)) < len(values):
                raise ValueError(
                    f"data: two of {', '.join(values)} are the same; name each folder once, and "
                    "give name to those of one name"
                )
        limb = sum(lead in LEAD_GROUPS["limb"] for lead in self.preprocess.leads)
        if self.model.einthoven_weight and (limb < 3 or self.preprocess.normalisation == "lead"):
            raise ValueError(
                "model.einthoven_weight needs three limb leads on one scale: set preprocess.leads "
                "to 12 and preprocess.normalisation to record"
            )
        return self
