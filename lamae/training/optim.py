"""The optimiser: AdamW with weight decay on matrices only."""

import torch
from torch import Tensor, nn


class AdamW(torch.optim.AdamW):
    """torch's fused AdamW, which a number on the device can keep from changing anything."""

    found_inf: Tensor | None = None
    """float32 (): 1.0 where the next step is to change neither weights nor moments, else 0.0.

    torch.optim.Optimizer hands it to the fused kernel, as torch.amp.GradScaler has it do: the host
    does not look at it, and a step with 0.0 is the same to the last bit as one without."""


def decays(name: str, parameter: Tensor) -> bool:
    """Return True for a matrix; biases, norms, tokens and embeddings have no weight decay."""
    return parameter.ndim >= 2 and not name.endswith("lead_embedding")


def adamw(model: nn.Module, *, lr: float, weight_decay: float, betas: tuple[float, float]) -> AdamW:
    """Build AdamW with weight decay on the parameters that decay."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (decayed if decays(name, parameter) else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=lr, betas=betas, fused=True)
