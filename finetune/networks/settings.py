"""Settings of the networks: their sizes and switches."""

from typing import Literal

from pydantic import Field, model_validator

from lamae.config import Settings


class LasanSettings(Settings):
    """Sizes of LASAN; the defaults are the paper's, or proposed where it states none."""

    channels: tuple[int, ...] = Field((32, 64, 128, 256), min_length=1, max_length=16)
    """Channels of each block of the temporal CNN; the last is the width of a lead's vector."""
    kernel_size: int = Field(15, gt=0, le=16384)
    """Samples that a convolution spans."""
    depth: int = Field(3, gt=0, le=512)
    """Layers of the transformer between leads."""
    heads: int = Field(4, gt=0, le=16384)
    """Attention heads of each layer."""
    hidden: int = Field(128, gt=0, le=16384)
    """Width of the classifier's hidden layer."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of values dropped in CNN, transformer and classifier; proposed."""

    @model_validator(mode="after")
    def _consistent(self) -> "LasanSettings":
        if self.width % self.heads:
            raise ValueError(f"the last of channels, {self.width}, must be a multiple of heads")
        return self

    @property
    def width(self) -> int:
        """Width of a lead's vector and of the summary."""
        return self.channels[-1]


class CnnAttentionBilstmSettings(Settings):
    """Parts of the network; the switches are the paper's ablations."""

    attention: bool = True
    """Weight each feature at each time by a sigmoid of all features at that time."""
    bilstm: bool = True
    """Read the features in both directions by two layers of LSTM before they are averaged."""
    padding: Literal["ignore", "as_released"] = "ignore"
    """ignore: no layer sees what stands behind the recorded samples. as_released: they are signal
    like any other, so that the length of a recording shows."""
    batch_norm_momentum: float = Field(0.01, gt=0, le=1)
    """Share of a batch in the running statistics. Default: Keras', for thousands of steps; a run
    of a few hundred needs 0.1."""


class HierarchicalTransformerSettings(Settings):
    """Sizes, which are the released ones by default, and the switches of an ablation."""

    width: int = Field(288, gt=0, le=16384)
    """Channels of a token: a multiple of heads, of twice the heads with differential attention,
    and with grouped convolutions of the leads."""
    depth: int = Field(12, gt=0, le=512)
    """Layers over all stages, a multiple of them."""
    heads: int = Field(8, gt=0, le=16384)
    """Attention heads of each layer."""
    hidden: int = Field(2048, gt=0, le=16384)
    """Width of the hidden layer of each MLP."""
    groups: Literal["leads", "one"] = "leads"
    """leads: each lead has convolutions of its own. one: each convolution sees all leads."""
    stages: int = Field(3, ge=1, le=3)
    """Scales that are read, the coarsest last; fewer leave the finest out, so that convolutions
    and parameters stay the same."""
    cls: Literal["carried", "mean"] = "carried"
    """Summary of a stage, for the next one and for the classifier. carried: its CLS token. mean:
    the mean over its tokens."""
    gate: bool = False
    """Classify by gated attention over the channels of the last stage, rather than its summary."""
    attention: Literal["differential", "softmax"] = "differential"
    """differential: the difference of two softmaxes, as released. softmax: one."""
    padding: Literal["ignore", "as_released"] = "ignore"
    """ignore: no layer sees what stands behind the recorded samples. as_released: they are signal
    like any other, and are attended to."""

    @model_validator(mode="after")
    def _consistent(self) -> "HierarchicalTransformerSettings":
        parts = 2 * self.heads if self.attention == "differential" else self.heads
        if self.width % parts or self.width % 2:
            raise ValueError(
                f"width {self.width} must be even and a multiple of {parts}, "
                f"for {self.attention} attention of {self.heads} heads"
            )
        if self.depth % self.stages:
            raise ValueError(f"depth {self.depth} must be a multiple of stages, {self.stages}")
        return self
