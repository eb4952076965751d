"""A run that starts from the weights of another begins where that one ended."""

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from lamae.errors import InputError
from pretrain.run import pretrain
from tests.conftest import MakeSettings


def test_it_begins_with_the_weights_of_the_other(
    pretrained_run: Path, make_settings: MakeSettings, accelerator: Accelerator
) -> None:
    """Steps that change nothing leave them as they are."""
    settings = make_settings(
        start_from=pretrained_run, steps=2, warmup_steps=0, lr=1e-30, weight_decay=0
    )
    pretrain(settings, accelerator)
    before, after = (
        load_file(run / "model" / "model.safetensors") for run in (pretrained_run, settings.run_dir)
    )
    for name, weights in before.items():
        torch.testing.assert_close(after[name], weights, rtol=0, atol=1e-7)
    summary = json.loads((settings.run_dir / "summary.json").read_text())
    assert summary["config"]["start_from"] == str(pretrained_run)


def test_another_architecture_is_refused_by_name(
    pretrained_run: Path, make_settings: MakeSettings, accelerator: Accelerator
) -> None:
    settings = make_settings(start_from=pretrained_run)
    model = settings.model.model_copy(update={"mask_ratio": 0.5})
    with pytest.raises(InputError, match=r"start_from .*, model: another mask_ratio"):
        pretrain(settings.model_copy(update={"model": model}), accelerator)
    reads = settings.preprocess.model_copy(update={"max_missing_share": 0.1})
    with pytest.raises(InputError, match="preprocess: another max_missing_share"):
        pretrain(settings.model_copy(update={"preprocess": reads}), accelerator)
