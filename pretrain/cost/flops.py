"""Arithmetic of a training step: the matrix multiplications that the method needs.

A multiplication and an addition are two operations. What a kernel computes twice to save memory
does not count, nor do norms, softmax and activations.
"""

from typing import get_args

from lamae.model.masking import visible_count
from lamae.model.settings import AutoencoderSettings, EncoderSettings, MaskKind

_STEM_CHANNELS, _STEM_WIDTH = 16, 7


def step_flops(settings: AutoencoderSettings, *, batch: int, leads: int, patches: int) -> float:
    """Return the operations of one optimiser step, forward and backward, for `batch` recordings.

    Backward takes two multiplications for each of forward, but one for the layer that reads the
    signal, which needs no gradient. Where masks are of several kinds it is the mean over them.
    Absent leads and padding are computed as all else is.
    """
    mean = 0.0
    for share, seen, visible in _shown(settings, leads, patches):
        first, others = _encoder_flops(settings.encoder, leads=seen, visible=visible)
        others += _decoder_flops(settings, leads=leads, patches=patches, seen=seen, visible=visible)
        mean += share * (2 * first + 3 * others)
    return batch * mean


def visible_patches(settings: AutoencoderSettings, *, leads: int, patches: int) -> float:
    """Return how many patches of a recording the encoder sees, the mean over kinds of masks."""
    return sum(share * seen * visible for share, seen, visible in _shown(settings, leads, patches))


def _shown(settings: AutoencoderSettings, leads: int, patches: int) -> list[tuple[float, int, int]]:
    """Return for each kind of mask its share, the leads that are seen, the patches of each."""
    masking, ratio = settings.masking, settings.mask_ratio
    kinds: tuple[MaskKind, ...] = get_args(MaskKind)
    weights = {kind: float(getattr(masking, kind)) for kind in kinds}
    shown = []
    for kind, weight in weights.items():
        if weight:
            is_lead = kind == "lead"
            seen = visible_count(leads, ratio) if is_lead else leads
            visible = patches if is_lead else visible_count(patches, ratio)
            shown.append((weight / sum(weights.values()), seen, visible))
    return shown


def _encoder_flops(settings: EncoderSettings, *, leads: int, visible: int) -> tuple[float, float]:
    """Return the forward operations on one recording: the layer that reads the signal; the rest."""
    width, rows = settings.width, leads * visible
    samples = rows * settings.patch_size
    first, rest = _linear(rows, settings.patch_size, width), 0.0
    if settings.stem == "conv":
        first = _linear(samples, _STEM_WIDTH, _STEM_CHANNELS)
        rest += _linear(samples, _STEM_WIDTH * _STEM_CHANNELS, _STEM_CHANNELS)
        rest += _linear(rows, settings.patch_size * _STEM_CHANNELS, width)
    tokens = visible + 1  # CLS
    alone = _blocks(width, sequences=leads, tokens=tokens)
    together = _blocks(width, sequences=1, tokens=leads * tokens)
    blocks = settings.depth + settings.latent_depth
    if settings.method == "lamae":
        rest += settings.depth * alone + settings.latent_depth * together
    else:
        rest += blocks * (together if settings.method == "joint" else alone)
    pooled = leads * tokens if settings.keeps_leads_apart else leads
    rest += 2 * _linear(pooled, width, width) + 2 * _linear(pooled, width, 1)
    return first, rest


def _decoder_flops(
    settings: AutoencoderSettings, *, leads: int, patches: int, seen: int, visible: int
) -> float:
    decoder, encoder = settings.decoder, settings.encoder
    width, tokens = decoder.width, patches + 1
    embeddings = seen if encoder.keeps_leads_apart else 1
    flops = _linear(seen * (visible + 1) + embeddings, encoder.width, width)
    shape = {"sequences": leads, "tokens": tokens}
    if decoder.attends == "all":
        shape = {"sequences": 1, "tokens": leads * tokens}
    flops += decoder.depth * _blocks(width, **shape)
    return flops + _linear(leads * patches, width, encoder.patch_size)


def _blocks(width: int, *, sequences: int, tokens: int) -> float:
    """Return the operations of one block: query, key, value, output, an MLP of 4; attention."""
    return sequences * (12 * _linear(tokens, width, width) + 2 * _linear(tokens, width, tokens))


def _linear(rows: int, inputs: int, outputs: int) -> float:
    return 2.0 * rows * inputs * outputs
