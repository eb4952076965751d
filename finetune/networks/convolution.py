"""Convolutions over recordings that end at different times, and means over what was recorded."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lamae.errors import InputError


class Convolution(nn.Module):
    """A convolution with batch normalisation and ReLU, which can leave padding out.

    It pads as Keras' "same" does: steps / stride of them come out, rounded up, and an odd sample
    of padding goes to the end. Where steps behind the recorded ones are to be left out, they are
    read as zero, come out as zero, and take no part in the statistics.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel_size: int,
        stride: int = 1,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        """Build the layer; eps and momentum are the batch normalisation's."""
        super().__init__()
        self.convolve = nn.Conv1d(inputs, outputs, kernel_size, stride=stride)
        self.norm = nn.BatchNorm1d(outputs, eps=eps, momentum=momentum)
        self.kernel_size, self.stride = kernel_size, stride

    def forward(
        self, signal: Float[Tensor, "b inputs t"], recorded: Int[Tensor, " b"] | None
    ) -> Float[Tensor, "b outputs u"]:
        """Convolve; `recorded` counts the steps of `signal` that are no padding, None for all."""
        if recorded is not None:
            is_recorded = recorded_steps(recorded, signal.shape[2])
            signal = signal.masked_fill(~is_recorded[:, None], 0.0)
        padding = _keras_padding(signal.shape[2], kernel_size=self.kernel_size, stride=self.stride)
        features = self.convolve(F.pad(signal, padding))
        return rectified(self.norm, features, steps_left(recorded, self.stride))


def rectified(
    norm: nn.BatchNorm1d, features: Float[Tensor, "b d t"], recorded: Int[Tensor, " b"] | None
) -> Float[Tensor, "b d t"]:
    """Return the ReLU of normalised features.

    Steps behind the recorded ones come out as zero and take no part in the statistics.
    """
    if recorded is None:
        return norm(features).relu()
    is_recorded = recorded_steps(recorded, features.shape[2])
    if torch.compiler.is_exporting():  # to a graph of fixed shapes, whose statistics are fixed too
        return norm(features).relu().masked_fill(~is_recorded[:, None], 0.0)
    steps = rearrange(features, "b d t -> b t d")
    normalised = norm(steps[is_recorded]).relu()
    placed = normalised.new_zeros(steps.shape)
    placed[is_recorded] = normalised
    return rearrange(placed, "b t d -> b d t")


def check_rows(signal: Float[Tensor, "b l samples"], leads: Sequence[str]) -> None:
    """Raise InputError unless `signal` has one row for each of `leads`."""
    if signal.shape[1] != len(leads):
        raise InputError(
            "signal",
            value=f"{signal.shape[1]} rows",
            expected=f"one for each of {', '.join(leads)}",
            remedy="Give the leads for which the classifier was built, in their order.",
        )


def recorded_steps(recorded: Int[Tensor, " b"], steps: int) -> Bool[Tensor, "b t"]:
    """Return True for the first `recorded` of `steps`."""
    return torch.arange(steps, device=recorded.device) < recorded[:, None]


def mean_over_recorded(
    steps: Float[Tensor, "b t d"], recorded: Int[Tensor, " b"] | None
) -> Float[Tensor, "b d"]:
    """Return the mean over the recorded steps, over all without a count."""
    if recorded is None:
        return steps.mean(dim=1)
    is_recorded = recorded_steps(recorded, steps.shape[1])
    return (steps * is_recorded[..., None]).sum(dim=1) / recorded[:, None]


def steps_left(recorded: Int[Tensor, " b"] | None, stride: int) -> Int[Tensor, " b"] | None:
    """Return how many recorded steps a layer that takes every stride-th leaves, rounded up."""
    return None if recorded is None else -(-recorded // stride)


def _keras_padding(steps: int, *, kernel_size: int, stride: int) -> tuple[int, int]:
    total = max((-(-steps // stride) - 1) * stride + kernel_size - steps, 0)
    return total // 2, total - total // 2
