"""A checkpoint is written while training goes on, and one that cannot be written ends the run."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from lamae.config import as_yaml
from lamae.files import publish
from lamae.runs.run_folder import WEIGHTS, checkpoint_folder, checkpoints
from lamae.runs.tracking import read_metrics
from lamae.training import checkpoint_writing
from pretrain import run
from pretrain.loop import Training, train_step
from pretrain.settings import PretrainSettings

MakeSettings = Callable[..., PretrainSettings]
LONG_S = 60.0


def test_steps_go_on_while_a_checkpoint_is_written_and_do_not_change_it(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    pretrained_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The write of step 4 ends only once step 7 has begun."""
    settings = make_settings()
    begun, may_end, order = threading.Event(), threading.Event(), list[str]()

    def step(training: Training, parts: list[Any]) -> dict[str, torch.Tensor]:
        if training.step == 6:
            assert begun.wait(LONG_S)
            assert not checkpoints(settings.run_dir)
            order.append("step 7")
            may_end.set()
        return train_step(training, parts)

    def publish_late(partial: Path, path: Path, **named: Any) -> None:
        begun.set()
        assert may_end.wait(LONG_S), "training waits for the checkpoint"
        order.append(path.name)
        publish(partial, path, **named)

    monkeypatch.setattr(run, "train_step", step)
    monkeypatch.setattr(checkpoint_writing, "publish", publish_late)
    run.pretrain(settings, accelerator)
    assert order == ["step 7", "step-00000004", "step-00000008"]
    for number in (4, 8):
        ours, theirs = (checkpoint_folder(d, number) for d in (settings.run_dir, pretrained_run))
        assert (ours / WEIGHTS).read_bytes() == (theirs / WEIGHTS).read_bytes()
    waits = [r for r in read_metrics(settings.run_dir) if "time/checkpoint_wait_s" in r]
    assert [row["step"] for row in waits] == [4, 8]
    assert all(row["time/checkpoint_wait_s"] <= row["time/checkpoint_s"] for row in waits)


@pytest.mark.parametrize("failing", ["publish", "write_tensors"])
def test_a_write_that_fails_ends_the_run_at_a_step_after_it(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
) -> None:
    settings = make_settings(steps=40, checkpoint_every=4, warmup_steps=1)
    failed, reached = threading.Event(), 0

    def step(training: Training, parts: list[Any]) -> dict[str, torch.Tensor]:
        nonlocal reached
        reached = training.step
        if training.step == 5:
            assert failed.wait(LONG_S)
        return train_step(training, parts)

    def full(path: Path, *arguments: Any, **named: Any) -> None:
        failed.set()
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(run, "train_step", step)
    monkeypatch.setattr(checkpoint_writing, failing, full)
    with pytest.raises(OSError, match="No space left on device"):
        run.pretrain(settings, accelerator)
    assert 4 <= reached <= 8 and not checkpoints(settings.run_dir)
    assert not list((settings.run_dir / "checkpoints").iterdir())
    assert not (settings.run_dir / "model").exists()


def test_an_error_of_a_step_waits_for_the_checkpoint_that_is_being_written(
    make_settings: MakeSettings, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings()
    raised = threading.Event()

    def step(training: Training, parts: list[Any]) -> dict[str, torch.Tensor]:
        if training.step == 5:
            raised.set()
            raise ZeroDivisionError
        return train_step(training, parts)

    def publish_late(partial: Path, path: Path, **named: Any) -> None:
        assert raised.wait(LONG_S)
        publish(partial, path, **named)

    monkeypatch.setattr(run, "train_step", step)
    monkeypatch.setattr(checkpoint_writing, "publish", publish_late)
    with pytest.raises(ZeroDivisionError):
        run.pretrain(settings, accelerator)
    assert [folder.name for folder in checkpoints(settings.run_dir)] == ["step-00000004"]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_checkpoint_that_cannot_be_written_is_told_in_one_sentence(
    make_settings: MakeSettings,
    launch: Callable[..., CompletedProcess[str]],
    tmp_path: Path,
    processes: int,
) -> None:
    """A file lies where the folder of checkpoints would be."""
    settings = make_settings(steps=400, fsdp=processes > 1)
    settings.run_dir.mkdir()
    (settings.run_dir / "checkpoints").write_text("in the way")
    config = tmp_path / "run.yaml"
    config.write_text(as_yaml(settings))
    done = launch("pretrain/main.py", str(config), processes=processes)
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    place = str(settings.run_dir / "checkpoints")
    assert sum(place in line for line in told) == 1, done.stderr
    if processes > 1:
        assert sum("another process" in line for line in told) == 1, done.stderr
    assert max(int(row["step"]) for row in read_metrics(settings.run_dir)) < 400
