"""Learning rates fall from the head to the patches, once for each block."""

import pytest
import torch

from finetune.networks.heads import EncoderClassifier, LinearHead
from finetune.training.layer_decay import block_number, decayed_adamw
from lamae.ecg.leads import LEADS
from lamae.model.encoder import Encoder
from lamae.model.settings import EncoderSettings, Method

METHODS: tuple[Method, ...] = ("lamae", "independent", "joint")


def make(method: Method) -> EncoderClassifier:
    settings = EncoderSettings(
        patch_size=10, width=8, depth=2, heads=2, latent_depth=1, method=method, lead_embedding=True
    )
    head = LinearHead(8, classes=3, pooling="mean")
    return EncoderClassifier(Encoder(settings), head, leads=LEADS[:2])


@pytest.mark.parametrize("method", METHODS)
def test_each_parameter_is_in_the_block_that_computes_it(method: Method) -> None:
    encoder = make(method).encoder
    assert isinstance(encoder, Encoder)
    numbers = {name: block_number(name, encoder.settings) for name, _ in encoder.named_parameters()}
    assert {numbers["embed.project.weight"], numbers["cls"], numbers["lead_embedding"]} == {0}
    assert {number for name, number in numbers.items() if "blocks" in name} == {1, 2, 3}
    assert numbers["pool.query"] == 3
    assert numbers["norm.weight"] == (2 if method == "lamae" else 3)
    if method == "lamae":
        assert numbers["per_lead.blocks.1.mlp.fc1.weight"] == 2
        assert numbers["latent.blocks.0.mlp.fc1.weight"] == 3


@pytest.mark.parametrize("method", METHODS)
def test_rates_fall_by_the_factor_from_the_head_down(method: Method) -> None:
    model = make(method)
    assert isinstance(model.encoder, Encoder)
    optimizer = decayed_adamw(
        model,
        model.encoder.settings,
        lr=1.0,
        layer_decay=0.5,
        weight_decay=0.1,
        betas=(0.9, 0.999),
    )
    rate = {p: g["peak_lr"] for g in optimizer.param_groups for p in g["params"]}
    decay = {p: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert rate.keys() == set(model.parameters())
    for name, parameter in model.named_parameters():
        number = 4
        if name.startswith("encoder."):
            number = block_number(name.removeprefix("encoder."), model.encoder.settings)
        assert rate[parameter] == 0.5 ** (4 - number)
        is_matrix = parameter.ndim >= 2 and "lead_embedding" not in name
        assert decay[parameter] == (0.1 if is_matrix else 0.0)


def test_what_is_frozen_is_not_trained() -> None:
    model = make("lamae")
    model.encoder.requires_grad_(False)
    optimizer = decayed_adamw(
        model, model.encoder.settings, lr=1.0, layer_decay=0.5, weight_decay=0.1, betas=(0.9, 0.9)
    )
    trained = {p for group in optimizer.param_groups for p in group["params"]}
    assert isinstance(model.head, LinearHead)
    assert trained == set(model.head.parameters())
    assert isinstance(optimizer, torch.optim.AdamW)
