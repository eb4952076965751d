"""The sizes of configs/pretrain, on the meta device: their parameters, by hand."""

from pathlib import Path

import pytest
import torch

from lamae.config import load_settings
from lamae.model.autoencoder import LAMAE
from pretrain.settings import PretrainSettings

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "pretrain"
LEADS, PATCH, AMPLITUDES = 12, 50, 5
FEATURES = 16 * 7 * 2  # kernels, dilations, levels


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def block(width: int) -> int:
    """Return query, key, value and output; an MLP of four times the width; two norms."""
    attention = linear(width, 3 * width) + linear(width, width)
    return attention + linear(width, 4 * width) + linear(4 * width, width) + 2 * 2 * width


def parameters(width: int, blocks: int, decoder: int, decoder_blocks: int) -> int:
    encoder = linear(PATCH, width) + width + 2 * width  # patches, CLS, norm
    encoder += blocks * block(width)
    encoder += width + 2 * linear(width, width)  # pooling: query, key, value
    decoding = 2 * linear(width, decoder) + decoder + LEADS * decoder  # mask token, names of leads
    decoding += decoder_blocks * block(decoder) + 2 * decoder + linear(decoder, PATCH)
    predicted = linear(decoder, FEATURES) + linear(width, FEATURES)
    return encoder + decoding + predicted + linear(width, FEATURES + AMPLITUDES)


@pytest.mark.parametrize(
    ("size", "width", "blocks", "heads", "decoder", "millions"),
    [
        ("tiny", 192, 12, 3, 128, 7),
        ("small", 384, 12, 6, 256, 29),
        ("base", 768, 12, 12, 384, 109),
        ("large", 1024, 24, 16, 512, 344),
        ("huge", 1280, 32, 16, 512, 687),
    ],
)
def test_a_size_has_the_parameters_that_its_blocks_have(
    size: str, width: int, blocks: int, heads: int, decoder: int, millions: int
) -> None:
    arguments = [str(CONFIGS / f"{size}.yaml"), "data=unused", "run_dir=unused"]
    settings = load_settings(PretrainSettings, arguments).model
    assert (settings.encoder.width, settings.encoder.heads) == (width, heads)
    assert len(settings.features.kernels.dilations) == 7
    with torch.device("meta"):
        model = LAMAE(settings)
    assert all(parameter.is_meta for parameter in model.parameters())
    found = sum(parameter.numel() for parameter in model.parameters())
    assert found == parameters(width, blocks + 2, decoder, 4)
    assert round(found / 1e6) == millions
