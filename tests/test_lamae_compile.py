"""One training step as the machine sees it: one graph, no look at values, lower precision."""

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from lamae.ecg.leads import LEADS
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import draw_mask
from lamae.model.recorded import Recorded
from lamae.model.settings import AutoencoderSettings, MaskKind, Method

METHODS: tuple[Method, ...] = get_args(Method)
KINDS: tuple[MaskKind, ...] = get_args(MaskKind)
BATCH, PATCH, PATCHES = 3, 10, 8


def make_model(method: Method) -> LAMAE:
    encoder: dict[str, Any] = {"patch_size": PATCH, "width": 32, "heads": 4}
    encoder |= {"depth": 1, "latent_depth": 1, "method": method}
    decoder = {"width": 16, "depth": 1, "heads": 2, "attends": "all"}
    values = {"encoder": encoder, "decoder": decoder, "einthoven_weight": 0.1}
    torch.manual_seed(0)
    return LAMAE(AutoencoderSettings.model_validate(values))


def make_inputs(kind: MaskKind, *, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(BATCH, 12, generator=generator) < 0.8
    valid = torch.arange(PATCHES) < torch.tensor([[8], [5], [7]])
    recorded = Recorded(present, valid)
    mask = draw_mask(
        kind,
        batch=BATCH,
        leads=12,
        patches=PATCHES,
        mask_ratio=0.75,
        generator=generator,
        recorded=recorded,
    )
    signal = torch.randn(BATCH, 12, PATCH * PATCHES, generator=generator)
    share = torch.tensor(0.5)
    return {"signal": signal, "mask": mask, "recorded": recorded, "alignment_share": share}


_COMPILED = """
import itertools, sys, warnings
warnings.simplefilter("error")
import torch
from torch._dynamo.testing import CompileCounter
sys.path.insert(0, {tests!r})
from test_lamae_compile import KINDS, LEADS, METHODS, make_inputs, make_model
torch.set_num_threads(1)
for method, kind in itertools.product(METHODS, KINDS):
    model = make_model(method)
    torch._dynamo.reset()
    graphs = CompileCounter()
    compiled = torch.compile(model, backend=graphs, fullgraph=True, dynamic=False)
    for seed in range(3):
        inputs = make_inputs(kind, seed=seed)
        inputs["alignment_share"] = torch.tensor(seed / 3)
        signal = inputs.pop("signal")
        eager = model(signal, LEADS, **inputs)  # first: einops learns of torch, which is guarded
        found = compiled(signal, LEADS, **inputs)
        torch.testing.assert_close(found.loss, eager.loss)
        found.loss.backward()
    assert graphs.frame_count == 1, (method, kind, graphs.frame_count)
"""


@pytest.mark.slow
def test_steps_with_other_masks_leads_and_lengths_are_one_graph_without_a_break() -> None:
    """In a process of its own: what checks shapes in tests cannot be compiled."""
    here = Path(__file__).resolve()
    program = _COMPILED.format(tests=str(here.parent))
    root = str(here.parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_a_step_asks_for_no_value_so_the_host_never_waits_for_the_device(
    method: Method, kind: MaskKind
) -> None:
    """On the meta device tensors have no values, and asking for one is an error."""
    model = make_model(method).to("meta")
    inputs: dict[str, Any] = {
        name: None if tensor is None else tensor.to("meta")
        for name, tensor in make_inputs(kind).items()
    }
    found = model(inputs.pop("signal"), LEADS, **inputs)
    found.loss.backward()
    assert found.patches.shape == (BATCH, 12, PATCHES, PATCH)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_in_bfloat16_the_loss_is_float32_and_near_that_of_float32(
    method: Method, kind: MaskKind
) -> None:
    model = make_model(method)
    inputs: dict[str, Any] = make_inputs(kind)
    signal = inputs.pop("signal")
    exact = model(signal, LEADS, **inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(signal, LEADS, **inputs)
    assert found.patches.dtype == torch.bfloat16
    assert found.loss.dtype == found.error.dtype == torch.float32
    torch.testing.assert_close(found.loss, exact.loss, atol=0, rtol=0.02)
    found.loss.backward()
    for parameter in model.parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("method", METHODS)
def test_attention_runs_in_the_fused_function_only(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def count(*arguments: Any, **options: Any) -> torch.Tensor:
        calls.append(arguments[0].shape)
        return fused(*arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", count)
    inputs: dict[str, Any] = make_inputs("random")
    make_model(method)(inputs.pop("signal"), LEADS, **inputs)
    assert len(calls) == 1 + 1 + 1  # blocks of the encoder, latent ones or their like, decoder
    assert all(shape[2] in (1 + 2, 12 * (1 + 2), 12 * (1 + PATCHES)) for shape in calls)
