"""The arithmetic of the plan for GPUs, against counted tensors; its tables in the documentation."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.scaling import (
    DRAW_S,
    RECORDING_BYTES,
    SORT_S,
    exponent,
    model_of,
    plan,
    step_row,
    table,
    trainer,
)
from lamae.ecg.leads import LEADS
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask, draw_mask
from lamae.training.optim import adamw
from pretrain.cost.memory import KEPT_BF16, KEPT_FP32, STATE_BYTES, kept_bytes

DOCS = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "scaling.md"


def count_kept(model: LAMAE, batch: int, leads: int, patches: int, *, bf16: bool) -> int:
    """Sum the memory that autograd keeps after forward, without that of the parameters."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = tensor  # alive, so that no other takes its place
        return tensor

    signal = torch.randn(batch, leads, patches * model.settings.encoder.patch_size)
    mask = draw_mask(
        "random",
        batch=batch,
        leads=leads,
        patches=patches,
        mask_ratio=0.75,
        generator=torch.Generator().manual_seed(0),
    )
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model(signal, LEADS[:leads], mask=mask)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize(
    ("method", "leads", "patches", "bf16"),
    [
        ("lamae", 12, 50, True),
        ("lamae", 12, 50, False),
        ("lamae", 2, 200, True),
        ("joint", 8, 100, True),
        ("independent", 12, 25, False),
    ],
)
def test_what_forward_keeps_is_what_autograd_is_seen_to_keep(
    method: str, leads: int, patches: int, bf16: bool
) -> None:
    model = model_of(method)
    three, one = (count_kept(model, batch, leads, patches, bf16=bf16) for batch in (3, 1))
    unit = KEPT_BF16 if bf16 else KEPT_FP32
    expected = kept_bytes(model.settings, unit, leads=leads, patches=patches)
    # The rest are embeddings, pooling and the loss; weights cast to bf16 do not grow with a batch.
    assert expected <= (three - one) / 2 <= 1.08 * expected


def test_weights_gradients_and_moments_take_the_bytes_of_the_plan() -> None:
    model = model_of("lamae")
    optimizer = adamw(model, lr=1e-4, weight_decay=0.05, betas=(0.9, 0.95))
    signal = torch.randn(1, 12, 200)
    visible = torch.zeros(1, 12, 1, dtype=torch.int64)
    model(signal, LEADS, mask=Mask(visible)).loss.backward()
    optimizer.step()
    held = [*model.parameters(), *(p.grad for p in model.parameters() if p.grad is not None)]
    held += [value for state in optimizer.state.values() for value in state.values() if value.ndim]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    # A vector's moments are counted too; only AdamW's step numbers, without a dimension, are not.
    assert sum(tensor.nbytes for tensor in held) == STATE_BYTES * parameters


def test_a_recording_takes_the_bytes_of_twelve_leads_of_ten_seconds() -> None:
    for rate in (250, 500):
        assert np.zeros((12, 10 * rate), dtype=np.int16).nbytes == RECORDING_BYTES * rate


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 2.0])
def test_the_exponent_of_a_power_law_is_found(power: float) -> None:
    sizes = [1.0, 3.0, 10.0, 70.0]
    found = exponent(sizes, [5.0 * size**power for size in sizes])
    assert found == pytest.approx(power, abs=1e-9)


def test_a_ring_sends_what_every_gpu_lacks() -> None:
    """Of each chunk of the gradient, 4 bytes a parameter, all GPUs but one send sum and result."""
    parameters = 10**8
    _, _, inside, between, slower, *_ = step_row(1024, 64, 1e11, parameters)
    sent = sum(4 * parameters / 8 for _ in range(2) for _ in range(8 - 1))
    assert inside == pytest.approx(1e3 * sent / (0.7 * 450e9))
    assert between == pytest.approx(1e3 * sent / (0.7 * 50e9))
    assert slower == pytest.approx(2 * between)
    assert step_row(1024, 8, 1e11, parameters)[3:5] == [0, 0]
    assert step_row(1024, 1, 1e11, parameters)[2:5] == [0, 0, 0]


def test_every_gpu_draws_the_numbers_of_all_masks_and_sorts_its_own() -> None:
    batch = 1024
    one, eight, many = (step_row(batch, gpus, 1e11, 10**8)[5] for gpus in (1, 8, 64))
    assert one == pytest.approx(1e3 * batch * (DRAW_S + SORT_S))
    assert one - eight == pytest.approx(1e3 * SORT_S * (batch - batch / 8))
    assert eight - many == pytest.approx(1e3 * SORT_S * (batch / 8 - batch / 64))


@pytest.mark.parametrize("gpus", [1, 8, 64])
def test_the_threads_of_the_plan_are_the_fewest_that_keep_up_with_computing(gpus: int) -> None:
    _, compute, *_, drawn, read, threads, _ = step_row(256, gpus, 9e9, 10**7)
    assert (threads - 1) * compute < drawn + read <= threads * compute


def test_a_measured_step_changes_the_weights() -> None:
    model = model_of("independent")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    trainer(model, model)(1, 2, 8)
    changed = [not torch.equal(x, y) for x, y in zip(before, model.parameters(), strict=True)]
    assert sum(changed) > 0.9 * len(changed)


def test_a_table_is_markdown_of_three_digits() -> None:
    found = table(["size", 8], [["tiny", 0.123456], ["base", 12345.6], ["all", 800_035]])
    expected = "| size | 8 |\n| --- | --- |\n| tiny | 0.123 |\n| base | 12,346 |\n| all | 800,035 |"
    assert found == expected


def test_the_documentation_shows_the_tables_as_they_are_computed() -> None:
    text = DOCS.read_text()
    for computed in plan().split("\n\n"):
        assert computed in text, "paste what `python benchmarks/scaling.py --plan` prints"
