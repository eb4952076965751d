"""A run with features as targets: their statistics, and a run that goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from pydantic import ValidationError

from lamae.model.checkpoint import load_autoencoder
from lamae.runs.run_folder import WEIGHTS
from pretrain import run as program
from pretrain.loop import Training, train_step
from pretrain.settings import PretrainSettings

MakeSettings = Callable[..., PretrainSettings]
KERNELS = {"count": 3, "dilations": (1, 2), "quantiles": (0.3, 0.7)}


def with_features(make_settings: MakeSettings, **changes: Any) -> PretrainSettings:
    """Add features, mV and a part that is decoded to a tiny run."""
    plain = make_settings(**changes)
    model, preprocess = plain.model.model_dump(), plain.preprocess.model_dump()
    model["encoder"]["millivolts"] = True
    model["decode_share"] = 0.5
    weights = {"patch_weight": 1.0, "token_weight": 1.0, "lead_weight": 1.0}
    model["features"] = {"kernels": KERNELS, **weights}
    preprocess["normalisation"] = "none"
    return make_settings(**changes, model=model, preprocess=preprocess)


def test_an_interrupted_run_keeps_the_statistics_and_ends_as_one_that_was_not(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    whole = with_features(make_settings, run_dir=tmp_path / "whole")
    program.pretrain(whole, accelerator)
    features = load_autoencoder(whole.run_dir).model.features
    assert features is not None
    assert features.kernels.levels.abs().min() > 0
    assert (features.patch_norm.scale != 1).all() and (features.lead_norm.mean != 0).all()

    def interrupted_step(training: Training, parts: list[Any]) -> dict[str, torch.Tensor]:
        if training.step == 6:
            raise KeyboardInterrupt
        return train_step(training, parts)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(program, "train_step", interrupted_step)
        program.pretrain(with_features(make_settings), accelerator)
    resumed = with_features(make_settings, resume=True)
    program.pretrain(resumed, accelerator)
    ours, theirs = (run.run_dir / "model" / WEIGHTS for run in (resumed, whole))
    assert ours.read_bytes() == theirs.read_bytes()


def test_an_encoder_that_reads_millivolts_needs_them(make_settings: MakeSettings) -> None:
    model = with_features(make_settings).model.model_dump()
    with pytest.raises(ValidationError, match="normalisation to none"):
        make_settings(model=model)
