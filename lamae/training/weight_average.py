"""The exponential moving average of a model's weights, which often does better than the weights."""

import copy

import torch
from torch import nn

from lamae.model.autoencoder import LAMAE


class WeightAverage:
    """A copy of a model whose weights follow those of the model, step by step."""

    def __init__(self, model: LAMAE, decay: float) -> None:
        """Begin with the weights that the model has now."""
        self.decay = decay
        """Share of the average that a step keeps, once enough have been done."""
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        """The model with averaged weights; its buffers are those of the model."""

    @torch.no_grad()
    def update(self, model: nn.Module, *, steps: int) -> None:
        """Move the average towards the weights of the model, behind so many steps.

        A step that was skipped counts as one that changed nothing. Every tensor is moved by the
        same kernel, so that processes with equal weights keep equal averages.
        """
        share = 1 - decay_after(steps, self.decay)
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), share)
        own = list(self.model.buffers())
        if own:
            torch._foreach_copy_(own, list(model.buffers()))


def decay_after(steps: int, decay: float) -> float:
    """Return the share of the average that a step keeps: less at first, as in TensorFlow's.

    min(decay, (1 + steps) / (10 + steps)): the first weights, which mean nothing, are forgotten in
    tens of steps instead of thousands. It depends on the step alone, so that resuming changes none.
    """
    return min(decay, (1 + steps) / (10 + steps))
