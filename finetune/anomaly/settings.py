"""Architecture and training of anomaly detectors; defaults are those of the release.

The release is that of VAE-BiLSTM-MHA (Garreta Basora and Mulayim, arXiv 2510.05919 and its code).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from lamae.config import Settings
from lamae.ecg.preprocess import Preprocessor
from lamae.model.settings import AutoencoderSettings, Pooling

Kind = Literal["cae", "vae_bilstm", "lamae"]
"""cae: convolutional autoencoder. vae_bilstm: variational autoencoder of BiLSTM, with attention by
default. lamae: a pretrained masked autoencoder, which learns of normals only where they lie, and
that for its score latent_distance alone."""

ScoreName = Literal["mse", "nll", "released", "attention", "masked_error", "latent_distance"]
"""mse: mean squared error. nll: mean negative log-likelihood of a sample. released: the score of
the released code. attention: that of the paper, errors weighted by attention, plus the divergence.
masked_error: error of hidden patches. latent_distance: Mahalanobis distance to normals."""

SCORES: dict[Kind, tuple[ScoreName, ...]] = {
    "cae": ("mse",),
    "vae_bilstm": ("mse", "nll", "released", "attention"),
    "lamae": ("masked_error", "latent_distance"),
}
"""Scores of each kind of detector, in the order in which it gives them."""

Over = Literal["mean", "max"]
"""Reduction of the scores of its windows to that of a recording."""

NormalRule = Literal["only", "any"]
"""only: the normal class and no other of its label set. any: the normal class among others, as the
release has it."""

RuleName = Literal["percentile", "youden", "max_f1", "pot"]
"""percentile: of normals. youden: sensitivity plus specificity is highest. max_f1: F1 is highest.
pot: peaks over threshold of normals, by a generalised Pareto distribution (Siffer et al., KDD
2017). percentile and pot need no abnormal recording."""

ATTENTION_HEADS, LEAD_HEADS = 8, 4


class VaeSettings(Settings):
    """Parts of the variational autoencoder."""

    hidden: tuple[int, int] = (512, 256)
    """Units of the outer and of the inner BiLSTM, in each direction."""
    latent: int = Field(32, gt=0, le=2**14)
    """Width of a latent vector; the training script has 32, the evaluation script 64."""
    lead_attention: bool = True
    """Attend across the leads of each sample."""
    sequence_attention: bool = True
    """Attend across the samples of a window."""
    bottleneck: int | None = Field(None, gt=0, le=2**14)
    """Latent vectors of a window; lead context then enters the encoder, and the decoder sees the
    latents alone. null: one for each sample, and lead context added behind them, as released."""

    @model_validator(mode="after")
    def _consistent(self) -> "VaeSettings":
        if min(self.hidden) < 1 or (self.bottleneck and self.hidden[1] % (ATTENTION_HEADS // 2)):
            raise ValueError(f"hidden {self.hidden} must be positive, the inner a multiple of 4")
        heads = ATTENTION_HEADS if self.sequence_attention else LEAD_HEADS
        attends = self.sequence_attention or self.lead_attention
        if self.bottleneck is None and attends and self.latent % heads:
            raise ValueError(f"latent {self.latent} must be a multiple of {heads} heads")
        return self

    @property
    def scores(self) -> tuple[ScoreName, ...]:
        """Scores that this network can give."""
        every = SCORES["vae_bilstm"]
        return every if self.sequence_attention else every[:-1]


class Architecture(Settings):
    """All that a detector is built from, weights aside."""

    kind: Kind
    """Kind of detector."""
    preprocess: Preprocessor
    """From a recording to the window that it reads."""
    vae: VaeSettings = VaeSettings()
    """Parts of kind vae_bilstm."""
    autoencoder: AutoencoderSettings | None = None
    """Sizes of the masked autoencoder of kind lamae."""
    masks: int = Field(4, gt=1)
    """Masks of kind lamae for each window: a patch is visible in one, and hidden in the others."""
    pooling: Pooling = "lead_mean"
    """Reduction of the tokens of a window to one vector, of kind lamae."""

    @model_validator(mode="after")
    def _consistent(self) -> "Architecture":
        if self.autoencoder is not None:
            patches = self.preprocess.samples // self.autoencoder.encoder.patch_size
            if self.masks > patches:
                raise ValueError(f"masks {self.masks} must not exceed the {patches} patches")
        return self

    @property
    def scores(self) -> tuple[ScoreName, ...]:
        """Scores that it gives, in their order."""
        return self.vae.scores if self.kind == "vae_bilstm" else SCORES[self.kind]


class AnomalyTraining(Settings):
    """Training of an autoencoder on normal windows, of kinds cae and vae_bilstm."""

    renamed: ClassVar[Mapping[str, str]] = {"validation_recordings": "max_validation_recordings"}

    steps: int = Field(31_300, gt=0)
    """Optimiser steps. Default: 100 epochs of 20,000 windows."""
    batch_size: int = Field(64, gt=0)
    """Windows in a step."""
    lr: float = Field(5e-4, gt=0)
    """Learning rate of Adam; it is halved after five validations without a lower loss."""
    clip_norm: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    stride: float = Field(0.25, gt=0)
    """Distance of the windows of a recording, as a share of a window."""
    kl: Literal["mean", "sum"] = "mean"
    """Divergence averaged over all latent numbers, as released, beside a likelihood that is summed
    over samples and leads; or summed as well, which is the evidence lower bound at beta 1."""
    max_beta: float = Field(0.3, ge=0)
    """Highest weight of the divergence."""
    cycle_steps: int = Field(3130, gt=0)
    """Steps after which the weight starts anew. Default: ten epochs."""
    ramp: float = Field(0.5, gt=0, le=1)
    """Share of a cycle in which the weight rises, a step at a time."""
    validate_every: int = Field(313, gt=0)
    """Steps between validations, after the best of which the weights are kept."""
    max_validation_recordings: int = Field(256, gt=0)
    """Normal held-out recordings to validate on at most."""


class RuleSettings(Settings):
    """Numbers of the rules that look at normal recordings alone."""

    percentile: float = Field(95.0, gt=0, lt=100)
    """Percentile of the scores of normals, for rule percentile."""
    pot_start: float = Field(90.0, gt=0, lt=100)
    """Percentile of the scores of normals from which on rule pot fits their tail."""
    pot_risk: float = Field(0.05, gt=0, lt=1)
    """Share of normals that rule pot lets exceed the threshold."""
