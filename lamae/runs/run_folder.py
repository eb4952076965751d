"""The folder of a run: its checkpoints, and which attempt at the run may write there."""

import json
import logging
import os
import re
import shutil
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lamae.errors import InputError
from lamae.files import make_folder, move_folder
from lamae.runs.checksums import damage
from lamae.runs.shard_index import SHARDS

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
AVERAGE = "ema.safetensors"
"""Averaged weights in a checkpoint, of a run that keeps them."""
STATE = "state.json"
MODEL_FILES = (CONFIG, WEIGHTS, STATE)
CHECKPOINT_FILES = (*MODEL_FILES, OPTIMIZER)
MODEL_FOLDER = "model"
"""Folder of a run's final model."""
AVERAGED_MODEL_FOLDER = "model_ema"
"""Folder of a run's final model with averaged weights."""
RUN = "run.json"
"""File with the settings of the newest attempt at a run, and the machines of its processes."""
STOP = "STOP"
"""A file of this name in run_dir asks a run to stop; whoever starts the next attempt removes it."""
RESUME = "RESUME"
"""A run that has stopped early and saved leaves this file in run_dir; one that goes on, none.

Batch scripts requeue by it: exit codes do not survive torchrun, accelerate launch or srun."""

_log = logging.getLogger(__name__)
_CHECKPOINTS = "checkpoints"
_ATTEMPTS = "attempts"
_STEP = re.compile(r"step-(\d{8,})")
_LEFT_OVER = re.compile(r"step-\d{8,}\.(removed|attempt-\d+\.partial)")


class FencedError(InputError):
    """End of an attempt's right to write: another has begun, or the folder has gone."""


class Attempt:
    """One of the processes that were started, one after the other, to train one run.

    A process that goes on beside its successor, as on a node that was lost and came back, finds
    out before it writes. The folder must be on a file system where O_EXCL is honoured: any local
    one, NFS from version 3, Lustre, GPFS.
    """

    def __init__(self, run_dir: Path) -> None:
        """Begin the next attempt at a run, which ends the right of all earlier ones to write."""
        self._folder = run_dir / _ATTEMPTS
        make_folder(self._folder)
        self.number = _newest_attempt(self._folder) + 1
        """1 for the first of a run."""
        while not self._claimed():
            self.number += 1

    def check(self) -> None:
        """Raise FencedError if a later attempt at the run has begun, or its folder has gone.

        Without the latter a run on a disk that was taken away would go on in the folder where it
        was mounted.
        """
        newest = _newest_attempt(self._folder)
        if newest < self.number:
            raise FencedError(
                f"run folder {self._folder.parent}, attempt {self.number}",
                value="its attempts are no longer there: the folder or its disk was removed",
                expected="the folder in which it began",
                remedy="Bring it back, then give the same command with resume=true.",
            )
        if newest > self.number:
            raise FencedError(
                f"run folder {self._folder.parent}, attempt {self.number}",
                value=f"attempt {newest} has taken over",
                expected="one attempt at a time",
                remedy=f"End this process; {_attempt_file(self._folder, newest)} names the other.",
            )

    def _claimed(self) -> bool:
        """Make the file of this attempt; False if another process was faster."""
        path = _attempt_file(self._folder, self.number)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w") as file:
            about = {"host": socket.gethostname(), "process": os.getpid()}
            json.dump(about | {"started": datetime.now(UTC).isoformat(timespec="seconds")}, file)
            file.flush()
            os.fsync(file.fileno())
        return True


def files_of(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Return `names`; where several processes wrote the folder, with their index for tensors.

    The index names the files of the tensors, which have checksums as well.
    """
    if not (folder / SHARDS).is_file():
        return tuple(names)
    return (*(name for name in names if name not in (WEIGHTS, OPTIMIZER)), SHARDS)


def attempts_of(run_dir: Path) -> list[Path]:
    """Return the files of the attempts at a run, the newest last."""
    folder = run_dir / _ATTEMPTS
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return [folder / name for name in sorted(filter(str.isdecimal, names), key=int)]


def checkpoint_folder(run_dir: Path, step: int) -> Path:
    """Return where a run keeps the checkpoint of a step."""
    return run_dir / _CHECKPOINTS / f"step-{step:08d}"


def step_of(checkpoint: Path) -> int:
    """Return the step of a checkpoint folder."""
    return int(checkpoint.name.removeprefix("step-"))


def checkpoints(run_dir: Path) -> list[Path]:
    """Return the checkpoint folders of a run by step, damaged ones included."""
    folder = run_dir / _CHECKPOINTS
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _STEP.fullmatch(path.name)), key=step_of)


def newest_checkpoint(run_dir: Path) -> Path | None:
    """Return the checkpoint folder with the highest step, damaged or not, if there is any."""
    found = checkpoints(run_dir)
    return found[-1] if found else None


def newest_intact(run_dir: Path) -> Path | None:
    """Return the newest checkpoint that is as it was written; None if the run has none at all.

    A warning names each newer one that is damaged. Raises InputError if all are damaged.
    """
    damaged: list[str] = []
    for folder in reversed(checkpoints(run_dir)):
        found = damage(folder, needs=files_of(folder, CHECKPOINT_FILES))
        if not found:
            for text in damaged:
                _log.warning("%s; taking %s instead", text, folder.name)
            return folder
        damaged.append(f"checkpoint {folder} is damaged: {found}")
    if damaged:
        raise InputError(
            f"run folder {run_dir}",
            value="; ".join(damaged),
            expected="an intact checkpoint",
            remedy="Copy one from a backup, or use another run_dir. If you trust one, as you may "
            "that of a version of LAMAE that wrote no checksums: "
            "lamae.runs.checksums.write_checksums(folder).",
        )
    return None


def resume_from(run_dir: Path, attempt: Attempt) -> Path | None:
    """Return the newest intact checkpoint, and set aside the damaged ones after it.

    They keep their content under a name that ends in `.damaged`, which makes room for new ones
    of the same steps.
    """
    intact = newest_intact(run_dir)
    newer = [f for f in checkpoints(run_dir) if intact and step_of(f) > step_of(intact)]
    for folder in newer:
        attempt.check()
        move_folder(folder, folder.with_name(f"{folder.name}.attempt-{attempt.number}.damaged"))
    return intact


def remove_checkpoint(folder: Path, attempt: Attempt) -> None:
    """Remove a checkpoint; one that is removed in part no longer bears the name of its step."""
    attempt.check()
    removed = folder.with_name(f"{folder.name}.removed")
    shutil.rmtree(removed, ignore_errors=True)
    move_folder(folder, removed)
    shutil.rmtree(removed)


def partial_folder(checkpoint: Path, attempt: Attempt) -> Path:
    """Return where an attempt prepares a checkpoint: where no other writes."""
    return checkpoint.with_name(f"{checkpoint.name}.attempt-{attempt.number}.partial")


def sweep(run_dir: Path, attempt: Attempt) -> None:
    """Remove what killed attempts left half written or half removed."""
    attempt.check()
    folder = run_dir / _CHECKPOINTS
    for path in folder.iterdir() if folder.is_dir() else ():
        if _LEFT_OVER.fullmatch(path.name):
            shutil.rmtree(path)


def _attempt_file(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}"


def _newest_attempt(folder: Path) -> int:
    """Return the number of the newest attempt, 0 where there is none."""
    found = attempts_of(folder.parent)
    return int(found[-1].name) if found else 0
