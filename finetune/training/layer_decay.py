"""AdamW with a smaller learning rate for each block of the encoder that is further down.

Lower layers of a pretrained encoder are the more general ones and are moved the less (ULMFiT,
Howard and Ruder 2018; MAE's fine-tuning has 0.75 for each block). What is no part of the encoder
is the head, and has the whole learning rate.
"""

import re

import torch
from torch import nn

from finetune.encoders.description import OtherEncoderSettings
from finetune.encoders.other_encoder import AnyEncoderSettings
from lamae.model.settings import EncoderSettings
from lamae.training.optim import decays

_ENCODER = "encoder."
_STACKS = ("per_lead", "latent", "joint")
_HUBERT_BLOCK = re.compile(r"network\.hubert\.encoder\.layers\.(\d+)\.")


def block_number(name: str, settings: EncoderSettings) -> int:
    """Return how far up a parameter of the encoder is: 0 embeds patches, 1 is the first block.

    The norm belongs to the block below it, and what comes after the last block to that one.
    """
    method, blocks = settings.method, settings.depth + settings.latent_depth
    stack, *rest = name.split(".")
    if stack in ("embed", "cls", "lead_embedding"):
        return 0
    below = settings.depth if method == "lamae" and stack == "latent" else 0
    if stack in _STACKS:
        return below + int(rest[1]) + 1
    if stack == "norm":
        return settings.depth if method == "lamae" else blocks
    return blocks


def _blocks_above(name: str, encoder: AnyEncoderSettings) -> int:
    """Return how many blocks, with the head, are above a parameter of the encoder.

    A file of others names no blocks: all of it is below the head, as HuBERT's first layers and
    norm are below its blocks.
    """
    if not isinstance(encoder, OtherEncoderSettings):
        return encoder.depth + encoder.latent_depth + 1 - block_number(name, encoder)
    found = _HUBERT_BLOCK.match(name)
    return encoder.blocks - (int(found[1]) if found else -1)


def decayed_adamw(
    model: nn.Module,
    encoder: AnyEncoderSettings | None,
    *,
    lr: float,
    layer_decay: float,
    weight_decay: float,
    betas: tuple[float, float],
) -> torch.optim.AdamW:
    """Build AdamW on the parameters that are to be trained.

    Weight decay is on matrices only. Each group keeps its own peak learning rate as `peak_lr`.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = 1.0
        if encoder is not None and name.startswith(_ENCODER):
            factor = layer_decay ** _blocks_above(name.removeprefix(_ENCODER), encoder)
        groups.setdefault((factor, decays(name, parameter)), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": lr * factor,
                "peak_lr": lr * factor,
                "weight_decay": weight_decay if does_decay else 0.0,
            }
            for (factor, does_decay), parameters in groups.items()
        ],
        betas=betas,
    )
