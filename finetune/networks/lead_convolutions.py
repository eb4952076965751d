"""The six convolutions of the hierarchical transformer (Tang et al., arXiv 2411.00755).

Kernels, strides, channels and groups are those of the authors' code, which takes the features of
a scale right after a convolution, before its batch normalisation and ReLU. So nothing reads the
last normalisation; it is built all the same, since the paper's network has it.
"""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from finetune.networks.convolution import recorded_steps, rectified
from lamae.errors import InputError


class _Step(NamedTuple):
    kernel_size: int
    stride: int
    padding: int = 0

    def steps(self, before: int) -> int:
        """Return how many steps it makes of `before`; none or less where its kernel is longer."""
        return (before + 2 * self.padding - self.kernel_size) // self.stride + 1

    def least(self, after: int) -> int:
        """Return the fewest steps of which it makes `after`."""
        return (after - 1) * self.stride + self.kernel_size - 2 * self.padding


_STEPS = (_Step(14, 3, 2), _Step(14, 3), _Step(10, 2), _Step(10, 2), _Step(10, 1), _Step(10, 1))
_SCALES = (2, 3, 5)
_CHANNELS_OF_A_LEAD = (11, 22)
"""Channels for each lead after the first two convolutions; a token's width after the others."""


class Scale(NamedTuple):
    """Features of a recording at one scale of time."""

    features: Float[Tensor, "b d t"]
    """Channels at each step: with groups, those of the first lead first."""
    recorded: Int[Tensor, " b"] | None
    """Number of steps that are no padding, at least one; None for all."""


class LeadConvolutions(nn.Module):
    """Six convolutions of all leads, which keep the leads apart where they are grouped."""

    def __init__(self, leads: int, width: int, *, grouped: bool) -> None:
        """Build for so many leads, of which `width` is a multiple where each has its group."""
        super().__init__()
        channels = (leads, *(each * leads for each in _CHANNELS_OF_A_LEAD), *(width,) * 4)
        self.convolve = nn.ModuleList(
            nn.Conv1d(
                before,
                after,
                step.kernel_size,
                stride=step.stride,
                padding=step.padding,
                groups=leads if grouped else 1,
                bias=False,
            )
            for step, before, after in zip(_STEPS, channels[:-1], channels[1:], strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(after) for after in channels[1:])

    def forward(
        self, signal: Float[Tensor, "b l samples"], recorded: Int[Tensor, " b"] | None
    ) -> list[Scale]:
        """Return the features at each scale, the finest first.

        `recorded` counts the samples that are no padding, None for all: of a recording that ends
        early come out the steps of one that is cut there. Raises InputError as `scale_lengths`.
        """
        scale_lengths(signal.shape[2])
        if recorded is not None:
            is_recorded = recorded_steps(recorded, signal.shape[2])
            signal = signal.masked_fill(~is_recorded[:, None], 0.0)
        features, scales = signal, []
        for number, step in enumerate(_STEPS):
            if number:
                features = rectified(self._norm(number - 1), features, recorded)
            features = self.convolve[number](features)
            if recorded is not None:
                ends = recorded + 2 * step.padding - step.kernel_size
                recorded = (ends.div(step.stride, rounding_mode="floor") + 1).clamp(min=1)
            if number in _SCALES:
                scales.append(Scale(features, recorded))
        return scales

    def _norm(self, number: int) -> nn.BatchNorm1d:
        norm = self.norms[number]
        assert isinstance(norm, nn.BatchNorm1d)
        return norm


def scale_lengths(samples: int) -> tuple[int, ...]:
    """Return the steps at each scale; raises InputError where the samples do not make one."""
    least = 1
    for step in reversed(_STEPS):
        least = step.least(least)
    if samples < least:
        raise InputError(
            "signal",
            value=f"{samples} samples",
            expected=f"at least {least}, of which six convolutions make one token",
            remedy="Raise preprocess.duration_s or preprocess.sampling_rate.",
        )
    lengths = [samples]
    for step in _STEPS:
        lengths.append(step.steps(lengths[-1]))
    return tuple(lengths[1 + number] for number in _SCALES)
