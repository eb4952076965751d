"""Activation checkpointing: the same results, from less memory."""

from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lamae.ecg.leads import LEADS
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import draw_mask
from lamae.model.settings import AutoencoderSettings
from lamae.runs.run_folder import OPTIMIZER, WEIGHTS
from lamae.storage.corpus import Corpus
from pretrain.cost.memory import KEPT_BF16, KEPT_FP32, KEPT_INPUT, checkpointed_bytes, kept_bytes
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings
from pretrain.start import start_training

MakeSettings = Callable[..., PretrainSettings]
PATCHES, PATCH = 40, 20


def model_of(*, checkpointed: bool, **encoder: Any) -> LAMAE:
    """Build a model of six blocks that reads twelve leads."""
    sizes = {"patch_size": PATCH, "width": 32, "depth": 4, "heads": 2, "latent_depth": 2}
    decoder = {"width": 16, "depth": 2, "heads": 2, "attends": "all"}
    values = {"encoder": sizes | encoder, "decoder": decoder}
    torch.manual_seed(0)
    model = LAMAE(AutoencoderSettings.model_validate(values))
    if checkpointed:
        model.checkpoint_activations()
    return model


def inputs(batch: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    mask = draw_mask(
        "random", batch=batch, leads=12, patches=PATCHES, mask_ratio=0.75, generator=generator
    )
    signal = torch.randn(batch, 12, PATCHES * PATCH, generator=generator)
    return {"signal": signal, "leads": LEADS, "mask": mask}


@pytest.mark.parametrize("method", ["lamae", "joint", "alignment"])
def test_loss_and_gradients_are_the_same(method: str) -> None:
    found: list[tuple[Tensor, Mapping[str, Tensor | None]]] = []
    for checkpointed in (False, True):
        model = model_of(checkpointed=checkpointed, method=method)
        loss = model(**inputs(2)).loss
        loss.backward()
        found.append((loss, {name: p.grad for name, p in model.named_parameters()}))
    (loss, gradients), (loss_again, gradients_again) = found
    torch.testing.assert_close(loss_again, loss, rtol=1e-6, atol=0)
    assert sum(gradient is not None for gradient in gradients.values()) > 80
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_again[name], gradient, rtol=1e-5, atol=1e-7, msg=name)


def bytes_kept(model: LAMAE, batch: int, *, bf16: bool) -> int:
    """Sum the memory that is kept for backward: by autograd, and as inputs of blocks."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = tensor  # alive, so that no other takes its place
        return tensor

    def keep_input(_: object, given: tuple[Tensor, ...]) -> None:
        keep(given[0])

    for stack in (model.encoder.per_lead, model.encoder.latent, model.decoder.transformer):
        for block in stack.blocks:
            block.register_forward_pre_hook(keep_input)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model(**inputs(batch))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("bf16", [False, True])
def test_of_each_block_the_input_alone_is_kept(bf16: bool) -> None:
    """What is not in a block is kept either way: the difference is that of the blocks.

    Norms keep two numbers of each token, which at so small a width are some percent.
    """
    kept = {}
    for checkpointed in (False, True):
        model = model_of(checkpointed=checkpointed)
        three, one = (bytes_kept(model, batch, bf16=bf16) for batch in (3, 1))
        kept[checkpointed] = (three - one) / 2
    unit = KEPT_BF16 if bf16 else KEPT_FP32
    of_blocks, of_inputs = (
        kept_bytes(model.settings, each, leads=12, patches=PATCHES) for each in (unit, KEPT_INPUT)
    )
    assert 0.99 < (kept[False] - kept[True]) / (of_blocks - of_inputs) < 1.05
    assert kept[True] < 0.3 * kept[False]


def test_backward_holds_one_block_beside_the_inputs() -> None:
    settings = model_of(checkpointed=False).settings
    shape = {"leads": 12, "patches": PATCHES}
    tokens, decoded = 12 * (10 + 1), 12 * (PATCHES + 1)
    inputs_of_all = 4 * (tokens * 32 * 6 + decoded * 16 * 2)
    largest = 36 * max(tokens * 32, decoded * 16)
    assert checkpointed_bytes(settings, KEPT_BF16, **shape) == inputs_of_all + largest


def test_a_run_ends_with_the_same_weights(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    pretrained_run: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a CPU to the bit: the blocks are computed again by the same kernels."""
    counted = Mock(wraps=checkpoint)
    monkeypatch.setattr("lamae.model.layers.checkpoint", counted)
    settings = make_settings(activation_checkpointing=True)
    pretrain(settings, accelerator)
    assert counted.call_count == 8 * 3, (
        "three blocks in each of eight steps, and none in validation"
    )
    for name in (f"model/{WEIGHTS}", f"checkpoints/step-00000008/{OPTIMIZER}"):
        assert (settings.run_dir / name).read_bytes() == (pretrained_run / name).read_bytes()


def test_a_run_goes_on_with_and_without(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    pretrain(make_settings(max_hours=1e-9), accelerator)
    settings = make_settings(resume=True, activation_checkpointing=True)
    training = start_training(settings, accelerator, corpus)
    assert training.step == 1
    assert training.bare_model.encoder.per_lead.recomputes
