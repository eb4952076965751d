"""Outputs of every block of an encoder, for probes of its layers."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from lamae.model.encoder import Encoder, Latents
from lamae.model.recorded import WHOLE, Recorded


def latents_by_block(
    encoder: Encoder,
    signal: Float[Tensor, "b l samples"],
    leads: Sequence[str],
    *,
    recorded: Recorded = WHOLE,
) -> list[Latents]:
    """Encode once; return latents with the tokens that leave each block, the lowest first.

    The last are what the encoder returns, behind its last norm.
    """
    outputs: list[Tensor] = []

    def keep(_: Any, __: Any, tokens: Tensor) -> None:
        outputs.append(tokens)

    stacks = (encoder.joint, encoder.per_lead, encoder.latent)
    handles = [b.register_forward_hook(keep) for stack in stacks for b in stack.blocks]
    try:
        latents = encoder(signal, leads, recorded=recorded)
    finally:
        for handle in handles:
            handle.remove()
    # "(b l) t d" of one lead and "b (l t) d" of all are both "b l t d" in memory.
    shape = latents.tokens.shape
    below = [latents._replace(tokens=tokens.reshape(shape)) for tokens in outputs[:-1]]
    return [*below, latents]
