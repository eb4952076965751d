"""AdamW decays matrices only; the learning rate rises in a line and falls along half a cosine."""

import math

import pytest
import torch
from torch import nn

from lamae.model.autoencoder import LAMAE
from lamae.model.settings import AutoencoderSettings
from lamae.training.optim import adamw
from lamae.training.schedule import warmup_cosine

LR, DECAY = 0.01, 0.2


@pytest.fixture(params=["linear", "conv"])
def model(request: pytest.FixtureRequest) -> LAMAE:
    sizes = {"width": 16, "depth": 1, "heads": 2}
    encoder = {**sizes, "patch_size": 10, "stem": request.param, "lead_embedding": True}
    return LAMAE(AutoencoderSettings.model_validate({"encoder": encoder, "decoder": sizes}))


def make_optimizer(model: nn.Module) -> torch.optim.AdamW:
    return adamw(model, lr=LR, weight_decay=DECAY, betas=(0.9, 0.95))


def test_the_groups_hold_each_parameter_once(model: LAMAE) -> None:
    held = [p for group in make_optimizer(model).param_groups for p in group["params"]]
    assert len(held) == len(list(model.parameters()))
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}


def test_weights_of_linear_layers_and_convolutions_decay_and_nothing_else(model: LAMAE) -> None:
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv1d)]
    expected = {id(layer.weight) for layer in layers}
    names = {id(p): name for name, p in model.named_parameters()}
    groups = make_optimizer(model).param_groups
    decayed = {id(p) for g in groups if g["weight_decay"] == DECAY for p in g["params"]}
    assert {names[p] for p in decayed} == {names[p] for p in expected}
    free = {id(p) for g in groups if g["weight_decay"] == 0 for p in g["params"]}
    spared = {"encoder.cls", "decoder.mask_token", "encoder.pool.query"}
    spared |= {"encoder.lead_embedding", "decoder.lead_embedding", "encoder.norm.weight"}
    assert spared <= {names[p] for p in free}


def test_without_a_gradient_a_step_only_shrinks_matrices(model: LAMAE) -> None:
    optimizer = make_optimizer(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim >= 2 and "lead_embedding" not in name
        factor = 1 - LR * DECAY if is_matrix else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 0.1),  # a tenth of the warm-up, and not zero: step 0 counts
        (4, 0.5),
        (9, 1.0),
        (10, 1.0),
        (40, 0.75),  # cos(60 degrees) = 0.5
        (55, 0.5),
        (70, 0.25),
        (100, 0.0),
        (130, 0.0),
    ],
)
def test_the_schedule_at_known_points(step: int, factor: float) -> None:
    assert math.isclose(warmup_cosine(step, steps=100, warmup_steps=10), factor, abs_tol=1e-12)


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    factors = [warmup_cosine(step, steps=20, warmup_steps=0) for step in range(21)]
    assert factors[0] == 1.0
    assert factors == sorted(factors, reverse=True)
    assert factors[-2] > 0.0
