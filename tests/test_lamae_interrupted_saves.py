"""However a save is cut short, a run holds a whole checkpoint; and one attempt alone writes."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE
from lamae.model.settings import AutoencoderSettings
from lamae.runs.run_folder import (
    Attempt,
    FencedError,
    checkpoint_folder,
    checkpoints,
    newest_intact,
    step_of,
)
from lamae.training.optim import adamw
from lamae.training.training_state import load_checkpoint, save_checkpoint
from pretrain.retention import apply_retention
from pretrain.settings import Retention

ROOT = Path(__file__).resolve().parents[1]
PREPROCESSOR = Preprocessor(sampling_rate=50, duration_s=4, band_hz=None)
POLICY = Retention(keep_last=2, keep_best=False)
CHANGES_OF_THE_DISK = ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir")


def make_model() -> LAMAE:
    sizes = {"width": 8, "depth": 1, "heads": 2}
    settings = {"encoder": sizes | {"patch_size": 50, "latent_depth": 1}, "decoder": sizes}
    return LAMAE(AutoencoderSettings.model_validate(settings))


def make_optimizer(model: LAMAE) -> torch.optim.Optimizer:
    """Return AdamW with moments."""
    optimizer = adamw(model, lr=1e-3, weight_decay=0.1, betas=(0.9, 0.95))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


def save(run_dir: Path, *, step: int, attempt: Attempt | None = None, seed: int = 0) -> Path:
    """Write a checkpoint whose weights are drawn from step and seed."""
    torch.manual_seed(1000 * seed + step)
    model = make_model()
    return save_checkpoint(
        run_dir,
        step=step,
        model=model,
        optimizer=make_optimizer(model),
        preprocessor=PREPROCESSOR,
        state={},
        attempt=attempt or Attempt(run_dir),
    )


def save_as_a_run_does(run_dir: Path, step: int) -> None:
    """Write a checkpoint in a new attempt, and keep two."""
    attempt = Attempt(run_dir)
    save(run_dir, step=step, attempt=attempt)
    apply_retention(run_dir, POLICY, attempt)


def load(folder: Path) -> dict[str, Any]:
    model = make_model()
    optimizer = make_optimizer(model)
    return load_checkpoint(folder, model=model, optimizer=optimizer, preprocessor=PREPROCESSOR)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Overtaken:
    """Does what fsync does; at one call of it, another attempt begins and saves the same step."""

    def __init__(self, run_dir: Path, moment: int) -> None:
        self.run_dir, self.moment, self.calls = run_dir, moment, 0
        self.told = ""
        self.fsync = os.fsync

    def __call__(self, descriptor: int) -> None:
        self.fsync(descriptor)
        self.calls += 1
        if self.calls == self.moment:
            try:
                self.told = save(self.run_dir, step=5, seed=2).name
            except InputError as error:
                self.told = str(error)


@pytest.mark.slow
def test_an_attempt_that_is_replaced_while_it_saves_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other begins, and saves the same step, at each point of the first one's save."""
    fenced = 0
    other = None
    while other is None or other.told:
        run_dir = tmp_path / str(fenced)
        attempt = Attempt(run_dir)
        other = Overtaken(run_dir, fenced + 1)
        monkeypatch.setattr(os, "fsync", other)
        try:
            save(run_dir, step=5, attempt=attempt)
        except FencedError:
            assert other.told == "step-00000005"
        else:
            assert not other.told or "exists, with another" in other.told
        monkeypatch.undo()
        (folder,) = checkpoints(run_dir)
        assert load(folder)["attempt"] == (2 if other.told == "step-00000005" else 1)
        assert list(folder.parent.iterdir()) == [folder]
        fenced += 1
    assert fenced > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES_OF_THE_DISK)
def test_an_error_of_the_disk_leaves_the_former_checkpoint_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The first, the second, ... change of that kind fails, until a save meets no such change."""
    original, failed, calls = getattr(os, name), 0, 0

    def failing(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == failed + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments, **named)

    while calls >= failed:
        run_dir = tmp_path / str(failed)
        attempt = Attempt(run_dir)
        former = save(run_dir, step=4, attempt=attempt)
        before, calls = contents(former), 0
        with monkeypatch.context() as patched:
            patched.setattr(os, name, failing)
            try:
                save(run_dir, step=9, attempt=attempt)
            except OSError as error:
                assert "No space left on device" in str(error)
        assert contents(former) == before
        newest = newest_intact(run_dir)
        assert newest and all(load(folder) for folder in checkpoints(run_dir))
        assert save(run_dir, step=9, attempt=attempt) == newest_intact(run_dir)
        named = [path.name for path in former.parent.iterdir()]
        assert sorted(named) == ["step-00000004", "step-00000009"]
        failed += 1


KILLED_BEFORE_EVERY_CHANGE_OF_THE_DISK = """
import importlib.util, os, shutil, signal, sys
from pathlib import Path
from lamae.training import tensor_file

spec = importlib.util.spec_from_file_location("saves", sys.argv[1])
saves = importlib.util.module_from_spec(spec)
spec.loader.exec_module(saves)

def killed_at(number, run_dir):
    calls = 0
    def counted(call):
        def instead(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)
        return instead
    whole = tensor_file._pieces
    def header_in_two(tensors):
        for piece in whole(tensors):
            middle = len(piece) // 2 if isinstance(piece, bytes) else 0
            yield piece[:middle]
            yield counted(piece.__getitem__)(slice(middle, None)) if middle else piece
    for name in saves.CHANGES_OF_THE_DISK:
        setattr(os, name, counted(getattr(os, name)))
    tensor_file._pieces = header_in_two
    saves.save_as_a_run_does(run_dir, 12)

begun, number, killed = Path(sys.argv[2]), 0, True
saves.save_as_a_run_does(begun, 4)
saves.save_as_a_run_does(begun, 8)
while killed:
    number += 1
    run_dir = begun.with_name(f"killed-{number:03d}")
    shutil.copytree(begun, run_dir)
    pid = os.fork()
    if pid == 0:
        killed_at(number, run_dir)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    killed = status != 0
"""


@pytest.mark.slow
def test_killed_before_any_change_of_the_disk_a_run_goes_on_from_a_whole_checkpoint(
    tmp_path: Path,
) -> None:
    """It was to save step 12 and to remove step 4; afterwards it does, and goes on to step 16."""
    program = [sys.executable, "-c", KILLED_BEFORE_EVERY_CHANGE_OF_THE_DISK, __file__]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    outcome = subprocess.run(
        [*program, str(tmp_path / "begun")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    killed = sorted(tmp_path.glob("killed-*"))
    assert len(killed) > 30
    newest = []
    for run_dir in killed:
        for folder in checkpoints(run_dir):
            load(folder)  # what bears the name of a step is whole
        newest.append(step_of(checkpoints(run_dir)[-1]))
        save_as_a_run_does(run_dir, 12)
        save_as_a_run_does(run_dir, 16)
        left = sorted(path.name for path in checkpoint_folder(run_dir, 16).parent.iterdir())
        assert left == ["step-00000012", "step-00000016"]
    assert newest == sorted(newest) and set(newest) == {8, 12}
