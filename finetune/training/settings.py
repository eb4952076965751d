"""Settings of the training of classifiers."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from finetune.data.settings import HOLD_OUT
from lamae.config import Settings
from lamae.model.settings import Pooling

Loss = Literal["bce", "cross_entropy", "focal"]
"""bce: one sigmoid for each class. cross_entropy: a softmax over classes. focal: either, by
multi_label, with recordings that are classified well counting less."""

L2_GRID = (10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Strengths that span a few hundred to tens of thousands of training records."""


class ProbeSettings(Settings):
    """Embedding of recordings, and the linear classifier that is fitted to it."""

    pooling: Pooling = "lead_mean"
    """Reduction of the tokens of a recording to one vector; see lamae/model/pooling.py."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the model; weights, loss and optimiser are always fp32."""
    l2_grid: tuple[float, ...] = L2_GRID
    """Penalties of the probe to choose from, on held-out training patients."""


class TrainingSettings(Settings):
    """Training of a classifier by gradient descent, in all modes but probe."""

    renamed: ClassVar[Mapping[str, str]] = {"part_size": "micro_batch_size"}

    epochs: int = Field(20, gt=0)
    """Times that each training recording is seen at most."""
    batch_size: int = Field(64, gt=0)
    """Recordings in an optimiser step, over all processes."""
    micro_batch_size: int = Field(8, gt=0)
    """Recordings computed at once; dropout and batch statistics are those of a micro-batch, so that
    results do not depend on the number of processes."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate of AdamW, that of the head."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's moments."""
    weight_decay: float = Field(0.05, ge=0)
    """On matrices only."""
    layer_decay: float = Field(0.75, gt=0, le=1)
    """Factor on the learning rate from each block of the encoder to the one below it."""
    freeze_encoder: bool = False
    """Leave the encoder as it is; in mode attention_probe it always is."""
    visible_share: float = Field(1.0, gt=0, le=1)
    """Share of the patches of each lead that a step shows the encoder, drawn anew in each; in modes
    full and probe_then_full (PatchDropout, Liu et al. 2023)."""
    mixup: float = Field(0.0, ge=0)
    """Strength of mixup: each recording of a step is mixed with another one, in shares drawn from
    Beta(mixup, mixup), and so is the loss of their labels (Zhang et al. 2018); 0 is off."""
    warmup_epochs: float = Field(1.0, ge=0)
    """Epochs over which the learning rate rises, before half a cosine to zero."""
    clip_norm: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    patience: int = Field(5, gt=0)
    """Epochs without a better macro AUROC on the held-out patients after which training ends."""
    loss: Loss | None = None
    """By default bce where a recording may have several classes, else cross_entropy."""
    focal_gamma: float = Field(2.0, gt=0)
    """Exponent of the focal loss."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: rare classes count as much as frequent ones."""
    hold_out: float = Field(HOLD_OUT, gt=0, lt=1)
    """Share of the training patients on which the epoch and the thresholds are chosen."""

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingSettings":
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of micro_batch_size "
                f"{self.micro_batch_size}"
            )
        return self
