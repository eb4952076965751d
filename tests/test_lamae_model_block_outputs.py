"""Every block's output is what an encoder that ends there would return."""

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from lamae.model.block_outputs import latents_by_block
from lamae.model.encoder import Encoder
from lamae.model.settings import EncoderSettings
from lamae.storage.corpus import Corpus
from tests.test_pretrain_monitoring_online_probe import ENCODER, SCALARS, make_probe

LEADS = ("I", "II", "V1")
METHODS = ("lamae", "independent", "alignment", "joint")


def make(method: str) -> Encoder:
    torch.manual_seed(0)
    values = {"width": 16, "depth": 4, "heads": 2, "patch_size": 10, "latent_depth": 2}
    encoder = Encoder(EncoderSettings.model_validate(values | {"method": method})).eval()
    for name, parameter in encoder.named_parameters():  # else the latent blocks change nothing
        if name.startswith("latent"):
            nn.init.normal_(parameter, std=0.1)
    return encoder


@pytest.fixture
def signal() -> torch.Tensor:
    return torch.randn(5, len(LEADS), 60, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", METHODS)
def test_there_is_one_for_each_block_and_the_last_is_the_encoders(
    method: str, signal: torch.Tensor
) -> None:
    encoder = make(method)
    with torch.no_grad():
        found = latents_by_block(encoder, signal, LEADS)
        last = encoder(signal, LEADS).tokens
    assert len(found) == 6
    assert torch.equal(found[-1].tokens, last)
    assert not torch.allclose(found[0].tokens, found[1].tokens)


def test_below_the_latent_blocks_it_is_what_an_encoder_without_them_returns(
    signal: torch.Tensor,
) -> None:
    whole, cut = make("lamae"), make("lamae")
    cut.latent.blocks = nn.ModuleList()
    with torch.no_grad():
        found = latents_by_block(whole, signal, LEADS)[-3]
        torch.testing.assert_close(whole.norm(found.tokens), cut(signal, LEADS).tokens)


def test_the_encoder_is_left_as_it_was(signal: torch.Tensor) -> None:
    encoder = make("lamae")
    latents_by_block(encoder, signal, LEADS)
    with pytest.raises(ValueError, match="leads"):
        latents_by_block(encoder, signal, ("I",))
    assert not any(module._forward_hooks for module in encoder.modules())


def test_the_probe_of_every_block_has_that_of_the_last_among_them(
    corpus: Corpus, accelerator: Accelerator
) -> None:
    encoder = Encoder(EncoderSettings.model_validate(ENCODER | {"depth": 3}))
    last = make_probe(corpus, accelerator).score(encoder)
    every = make_probe(corpus, accelerator, layers=True).score(encoder)
    assert {name: every[name] for name in last} == last
    lower = {f"{name}_block_{block}" for name in SCALARS for block in (1, 2, 3)}
    assert every.keys() == last.keys() | lower
