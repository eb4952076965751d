"""The optimiser: AdamW with weight decay on matrices only; and its state by name."""

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


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser, named by what it is and the parameter that it is of."""
    return {
        f"{key}.{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Give an optimiser what `optimizer_tensors` returned, on the devices of its parameters."""
    by_name: dict[str, dict[str, Tensor]] = {}
    for label, value in tensors.items():
        key, _, name = label.partition(".")  # as exp_avg.encoder.norm.weight
        by_name.setdefault(name, {})[key] = value
    for name, parameter in model.named_parameters():
        of_this = by_name.get(name, {}).items()
        optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in of_this}
