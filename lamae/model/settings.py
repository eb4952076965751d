"""Settings of the model; they load without torch."""

from typing import Literal

from pydantic import Field, model_validator

from lamae.config import Settings

Method = Literal["independent", "alignment", "joint", "lamae"]
"""independent: leads never meet. alignment: as before, and the loss draws the leads of a recording
together (MVMAE, arXiv 2511.22294). joint: every block sees all leads, told apart by an embedding
(the kind of ST-MEM); each lead's CLS stands where ST-MEM has a separator. lamae: latent attention
behind the blocks that see one lead."""

MaskKind = Literal["random", "tube", "lead"]
"""random: patches of each lead alone; tube: the same patches in all leads; lead: whole leads."""

Pooling = Literal["attention", "mean", "mean_max", "lead_mean", "lead_mean_max", "lead_summary"]
"""attention: the encoder's own pooling over leads. mean, max: over all patches of all leads, a set.
lead_*: over the patches of each lead, concatenated in the order of leads. lead_summary: of each
lead the mean over its patches, its CLS token and, where the encoder reads mV, its amplitudes."""

AMPLITUDES = 5
"""Numbers that hold the voltages of a lead."""

MAX_WIDTH = 2**14
"""Widest token; larger ones are mistakes, or a stranger's, and would be built before they fail."""
MAX_DEPTH = 512
"""Most blocks."""

ALL_KERNELS = 84
"""Ways to choose the three places of weight 2."""


class TransformerSettings(Settings):
    """Size of a transformer."""

    width: int = Field(gt=0, le=MAX_WIDTH)
    """Width of a token; even, and a multiple of heads."""
    depth: int = Field(gt=0, le=MAX_DEPTH)
    """Blocks."""
    heads: int = Field(gt=0)
    """Attention heads."""

    @model_validator(mode="after")
    def _consistent(self) -> "TransformerSettings":
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width {self.width} must be even and a multiple of heads")
        return self


class EncoderSettings(TransformerSettings):
    """Size and parts of the encoder."""

    method: Method = "lamae"
    """Meeting of leads in the encoder: independent, alignment, joint or lamae."""
    patch_size: int = Field(50, gt=0, le=2**16)
    """Samples in a patch."""
    width: int = Field(384, gt=0, le=MAX_WIDTH)
    """Width of a token."""
    depth: int = Field(12, gt=0, le=MAX_DEPTH)
    """Blocks that see one lead at a time, with weights shared by all leads."""
    heads: int = Field(6, gt=0)
    """Attention heads."""
    latent_depth: int = Field(2, ge=0, le=MAX_DEPTH)
    """Blocks of latent attention across leads; other methods have as many more of their own."""
    stem: Literal["linear", "conv"] = "linear"
    """Way from a patch to a token: one linear layer, or convolutions inside the patch first."""
    lead_embedding: bool = False
    """Tell the encoder which lead it sees; without it the leads are a set. joint always does."""
    position_base: float = Field(10_000.0, gt=1)
    """Span of the periods of the positions, of the decoder's too; about the number of patches tells
    neighbours apart from the start."""
    millivolts: bool = False
    """Read mV, with preprocess.normalisation none: recordings are z-scored here, and amplitudes
    stand beside the tokens."""

    @property
    def keeps_leads_apart(self) -> bool:
        """True where the encoder shows no lead to another."""
        return self.method in ("independent", "alignment")

    @property
    def amplitudes(self) -> int:
        """Amplitudes that the encoder knows of each lead."""
        return AMPLITUDES if self.millivolts else 0


class MaskingSettings(Settings):
    """Weights of the kinds of masks, of any sum; one kind is drawn for a whole batch."""

    random: float = Field(1.0, ge=0)
    """Patches of each lead, independently of the other leads."""
    tube: float = Field(0.0, ge=0)
    """The same patches in all leads, so that no lead shows what another hides."""
    lead: float = Field(0.0, ge=0)
    """Whole leads; the others are seen in full. Of the leads, mask_ratio are hidden."""

    @model_validator(mode="after")
    def _consistent(self) -> "MaskingSettings":
        if not self.random + self.tube + self.lead:
            raise ValueError("one of random, tube and lead must be above zero")
        return self


class KernelSettings(Settings):
    """Number of kernels, dilations and levels."""

    count: int = Field(16, gt=0, le=ALL_KERNELS)
    """Kernels, spread over the 84."""
    dilations: tuple[int, ...] = Field((1, 2, 4, 8, 16, 32), max_length=64)
    """Samples between the weights of a kernel."""
    quantiles: tuple[float, ...] = Field((0.35, 0.9), max_length=64)
    """Quantiles of the responses to which levels are set."""
    every: int = Field(1, gt=0)
    """Count one of so many samples, which must divide a window: the shares are rougher, and cost
    less."""

    @property
    def features(self) -> int:
        """Features of one stretch of one lead."""
        return self.count * len(self.dilations) * len(self.quantiles)


class FeatureTargetSettings(Settings):
    """Features to predict, and how much they count."""

    kernels: KernelSettings = KernelSettings()
    """The features: shares of samples above levels of fixed kernels' responses."""
    patch_weight: float = Field(0.0, ge=0)
    """Weight in the loss of the features of hidden patches, predicted by the decoder."""
    token_weight: float = Field(0.0, ge=0)
    """Weight in the loss of the features of visible patches, predicted from their own tokens, so
    that means of tokens hold what untrained features would."""
    lead_weight: float = Field(0.0, ge=0)
    """Weight in the loss of the features of whole leads, predicted from the encoder's tokens."""

    @property
    def wanted(self) -> bool:
        """True where any of them is predicted."""
        return max(self.patch_weight, self.token_weight, self.lead_weight) > 0


class DecoderSettings(TransformerSettings):
    """Size and reach of the decoder."""

    width: int = Field(256, gt=0, le=MAX_WIDTH)
    """Width of a token."""
    depth: int = Field(4, gt=0, le=MAX_DEPTH)
    """Blocks."""
    heads: int = Field(4, gt=0)
    """Attention heads."""
    attends: Literal["lead", "all"] = "lead"
    """Draw each lead from its own latents, as ST-MEM does, or from those of all leads.

    With `all`, leads meet in the decoder, whatever the method of the encoder."""
    lead_scale: float = Field(1.0, gt=0)
    """Deviation of the embedding of a lead's name at the start; a small one lets attention start on
    the same time of all leads."""


class AutoencoderSettings(Settings):
    """Encoder, decoder and target."""

    encoder: EncoderSettings = EncoderSettings()
    """The part that is kept."""
    decoder: DecoderSettings = DecoderSettings()
    """The part that is left behind after pretraining."""
    mask_ratio: float = Field(0.75, gt=0, lt=1)
    """Share of each lead's patches that the encoder does not see."""
    masking: MaskingSettings = MaskingSettings()
    """Kinds of masks, and how often each is drawn."""
    decode_share: float = Field(1.0, gt=0, le=1)
    """Share of the hidden patches that a training step decodes; validation decodes all."""
    norm_target: bool = True
    """Compare patches after a z-score of each patch, as MAE's norm_pix_loss, or as they are."""
    features: FeatureTargetSettings = FeatureTargetSettings()
    """Features of the signal to predict beside its samples."""
    alignment_weight: float = Field(2.0, ge=0)
    """Weight of the alignment of leads in the loss, with encoder.method alignment only.

    Default: MVMAE's. The term is a mean over the width, so at most 2 / width before it."""
    einthoven_weight: float = Field(0.0, ge=0)
    """Weight of the reconstruction's departure from Einthoven's and Goldberger's equations."""

    @model_validator(mode="after")
    def _consistent(self) -> "AutoencoderSettings":
        apart = self.encoder.keeps_leads_apart and self.decoder.attends == "lead"
        if self.masking.lead and apart:
            raise ValueError(
                f"masking.lead hides whole leads, of which encoder.method {self.encoder.method} "
                "with decoder.attends lead learns nothing: set masking.lead to 0, or attends to all"
            )
        if self.encoder.millivolts and not self.norm_target:
            raise ValueError("encoder.millivolts needs norm_target, which is free of scale")
        if self.features.wanted and self.encoder.patch_size % self.features.kernels.every:
            raise ValueError(
                f"features.kernels.every {self.features.kernels.every} must divide "
                f"encoder.patch_size {self.encoder.patch_size}"
            )
        return self
