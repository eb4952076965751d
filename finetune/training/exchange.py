"""Sums over the processes of a step, and the running statistics that they keep equal."""

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def running_statistics(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the running means and variances of a model, and its counters of batches."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    found = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
    counters = [norm.num_batches_tracked for norm in norms]
    return [v for v in found if v is not None], [c for c in counters if c is not None]


def sum_over_processes(tensors: list[Tensor], accelerator: Accelerator) -> None:
    """Replace each tensor by its sum over all processes, in one exchange."""
    if accelerator.num_processes == 1:
        return
    summed = accelerator.reduce(torch.cat([tensor.flatten() for tensor in tensors]), "sum")
    parts = summed.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
