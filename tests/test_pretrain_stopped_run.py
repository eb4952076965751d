"""A run that is asked to stop saves, says that it can go on, and ends as one that was not."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from lamae.runs.run_folder import (
    OPTIMIZER,
    RESUME,
    STOP,
    WEIGHTS,
    Attempt,
    FencedError,
    newest_checkpoint,
)
from lamae.runs.tracking import read_metrics
from pretrain import run as main
from pretrain.loop import Training, train_step
from pretrain.settings import PretrainSettings

MakeSettings = Callable[..., PretrainSettings]
Act = Callable[[Path], object]


def _signal(number: int) -> Act:
    return lambda run_dir: os.kill(os.getpid(), number)


def _during_step_6(monkeypatch: pytest.MonkeyPatch, act: Act) -> None:
    def step(training: Training, parts: list[Any]) -> dict[str, torch.Tensor]:
        if training.step == 5:
            training.saving.wait()  # the checkpoint of step 4 is there
            act(training.settings.run_dir)
        return train_step(training, parts)

    monkeypatch.setattr(main, "train_step", step)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (_signal(signal.SIGTERM), "received SIGTERM"),
        (_signal(signal.SIGUSR1), "received SIGUSR1"),
        (_signal(signal.SIGINT), "received SIGINT"),
        (lambda run_dir: (run_dir / STOP).touch(), "found a file STOP in run_dir"),
    ],
)
def test_a_stopped_run_goes_on_to_the_same_weights(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    pretrained_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Act,
    told: str,
) -> None:
    settings = make_settings()
    monkeypatch.setattr("pretrain.processes.stopping._FILE_EVERY_S", 0.0)
    with monkeypatch.context() as patched:
        _during_step_6(patched, act)
        main.pretrain(settings, accelerator)
    newest = newest_checkpoint(settings.run_dir)
    assert newest and newest.name == "step-00000006"
    marker = json.loads((settings.run_dir / RESUME).read_text())
    assert marker == {"step": 6, "steps_gained": 6, "reason": told}
    assert not (settings.run_dir / "model").exists()
    main.pretrain(make_settings(resume=True), accelerator)
    assert not {STOP, RESUME} & {path.name for path in settings.run_dir.iterdir()}
    for name in (f"model/{WEIGHTS}", f"checkpoints/step-00000008/{OPTIMIZER}"):
        assert (settings.run_dir / name).read_bytes() == (pretrained_run / name).read_bytes()
    losses = [
        [row["train/loss"] for row in read_metrics(run) if "train/loss" in row]
        for run in (settings.run_dir, pretrained_run)
    ]
    assert losses[0] == losses[1]


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    pretrained_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = make_settings()
    with monkeypatch.context() as patched:
        _during_step_6(patched, _signal(signal.SIGTERM))
        main.pretrain(settings, accelerator)
    newest = newest_checkpoint(settings.run_dir)
    assert newest
    (newest / OPTIMIZER).write_bytes((newest / OPTIMIZER).read_bytes()[:-1] + b"?")
    main.pretrain(make_settings(resume=True), accelerator)
    assert "step-00000006 is damaged: file optimizer" in caplog.text
    assert json.loads((settings.run_dir / "summary.json").read_text())["first_step"] == 4
    model = f"model/{WEIGHTS}"
    assert (settings.run_dir / model).read_bytes() == (pretrained_run / model).read_bytes()


def test_a_run_that_another_has_taken_over_writes_no_more(
    make_settings: MakeSettings, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings()
    _during_step_6(monkeypatch, Attempt)
    with pytest.raises(FencedError, match="attempt 2 has taken over"):
        main.pretrain(settings, accelerator)
    newest = newest_checkpoint(settings.run_dir)
    assert newest and newest.name == "step-00000004"
    assert not (settings.run_dir / "model").exists()
