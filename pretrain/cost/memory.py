"""Memory that training takes, reckoned: docs/explanation/scaling.md has how well it holds.

A block keeps, for each token, the inputs of both norms (fp32); those of query, key and value, of
the output, of both layers of the MLP and of its activation; query, key and value. Where attention
is fused, its scores are not kept.
"""

from lamae.model.settings import AutoencoderSettings
from pretrain.cost.flops import visible_patches

STATE_BYTES = 16
"""Bytes of a parameter in fp32: weight, gradient, and two moments of AdamW."""
AVERAGE_BYTES = 4
"""Bytes of a parameter's moving average, where a run keeps one."""
KEPT_FP32, KEPT_BF16 = 64, 36
"""Bytes that a block keeps for each token and unit of its width."""
KEPT_INPUT = 4
"""The same under activation checkpointing: the input of the block, fp32 in either precision."""


def kept_bytes(settings: AutoencoderSettings, unit: int, *, leads: int, patches: int) -> float:
    """Return the bytes that all blocks keep of a recording.

    Args:
        settings: those of the model.
        unit: bytes for each token, block and unit of width.
        leads: leads of the recording.
        patches: patches of a lead.
    """
    encoder, decoder = settings.encoder, settings.decoder
    encoded, decoded = _block_units(settings, leads=leads, patches=patches)
    blocks = encoder.depth + encoder.latent_depth
    return unit * (encoded * blocks + decoded * decoder.depth)


def checkpointed_bytes(
    settings: AutoencoderSettings, unit: int, *, leads: int, patches: int
) -> float:
    """Return the most bytes kept of a recording under activation checkpointing.

    That are the inputs of all blocks, and all of the block that backward has just computed again;
    arguments are those of `kept_bytes`.
    """
    inputs = kept_bytes(settings, KEPT_INPUT, leads=leads, patches=patches)
    return inputs + unit * max(_block_units(settings, leads=leads, patches=patches))


def _block_units(settings: AutoencoderSettings, *, leads: int, patches: int) -> tuple[float, float]:
    """Return tokens times width of a block of the encoder, and of one of the decoder."""
    visible = visible_patches(settings, leads=leads, patches=patches)
    decoded = leads + visible + round((leads * patches - visible) * settings.decode_share)
    return (visible + leads) * settings.encoder.width, decoded * settings.decoder.width
