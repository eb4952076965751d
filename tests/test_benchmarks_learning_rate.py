"""The scale of hidden matrices' learning rates, and the table, of benchmarks.learning_rate."""

import torch

from benchmarks.learning_rate import hidden_matrices, scale_hidden, table
from lamae.model.autoencoder import LAMAE
from lamae.model.settings import AutoencoderSettings
from lamae.training.optim import adamw

SIZES = {"patch_size": 10, "width": 16, "depth": 1, "heads": 2}
DECODER = {"width": 12, "depth": 1, "heads": 2}


def model_of() -> LAMAE:
    values = {"encoder": SIZES | {"latent_depth": 1}, "decoder": DECODER}
    return LAMAE(AutoencoderSettings.model_validate(values))


def test_hidden_matrices_are_those_with_a_width_of_inputs() -> None:
    model = model_of()
    hidden = {id(parameter) for parameter in hidden_matrices(model)}
    found = {name for name, p in model.named_parameters() if id(p) in hidden}
    assert "encoder.embed.project.weight" not in found, "it reads patches"
    assert "decoder.lead_embedding" not in found
    widths = {16, 12, 64, 48}  # of tokens, and within an MLP
    assert {model.get_parameter(name).shape[1] for name in found} == widths
    assert len(found) == 3 * 4 + 2 + 3, "blocks, pooling, the decoder's ends"


def test_the_scale_is_that_of_a_step_of_hidden_matrices_alone() -> None:
    """A first step of Adam is lr times the sign of the gradient."""
    model = model_of()
    optimizer = adamw(model, lr=1.0, weight_decay=0.0, betas=(0.9, 0.95))
    scale_hidden(model, optimizer, 0.25)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    optimizer.step()
    hidden = {id(parameter) for parameter in hidden_matrices(model)}
    for name, parameter in model.named_parameters():
        expected = 0.025 if id(parameter) in hidden else 0.1
        moved = before[name] - parameter.detach()
        torch.testing.assert_close(moved, torch.full_like(moved, expected), rtol=1e-3, atol=1e-5)


def test_the_table_names_the_best_rate_of_each_width() -> None:
    found = {f"standard, width 32, lr {rate:g}, seed {seed}": loss
             for rate, losses in {0.1: (3.0, 1.0), 0.2: (1.9, 1.9)}.items()
             for seed, loss in enumerate(losses)}  # fmt: skip
    text = table(found, [32, 64], [0.1, 0.2, 0.4], 2)
    assert text.splitlines()[2:] == ["| standard | 32 | 2.0000 | 1.9000 |  | 0.2 |"]
