"""Stopping early: why, and that all processes stop after the same step."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import distributed

from lamae.errors import SentenceError
from lamae.files import write_json
from lamae.runs.run_folder import RESUME, STOP

_SECOND_S = 2.0
"""Ctrl-C comes once from the terminal and again from torchrun's agent, which passes it on."""
_FILE_EVERY_S = 1.0


class Reason(IntEnum):
    """Reasons to stop a run; where processes have several, the highest counts."""

    NONE = 0
    """It is not."""
    STOP_FILE = 1
    """There is a file STOP in run_dir."""
    TIME_LIMIT = 2
    """The process has run for as long as it may."""
    LAUNCHER_ENDED = 3
    """`accelerate launch` has ended without a word, as it does on SIGTERM with one process."""
    SIGUSR1 = 4
    """Sent by Slurm's --signal ahead of a time limit."""
    SIGINT = 5
    """Ctrl-C."""
    SIGTERM = 6
    """Sent by batch systems before they kill, and by torchrun's agent when another process dies."""
    FAULT = 7
    """The main process cannot write its logs or pictures."""
    CHECKPOINT = 8
    """A process cannot write its part of a checkpoint, and nothing more can be saved."""

    @property
    def text(self) -> str:
        """Words of a log after "stopping: "."""
        return _TEXTS.get(self, f"received {self.name}")


_TEXTS = {
    Reason.NONE: "no reason",
    Reason.STOP_FILE: f"found a file {STOP} in run_dir",
    Reason.TIME_LIMIT: "max_hours is over",
    Reason.LAUNCHER_ENDED: "the launcher has ended",
    Reason.FAULT: "its logs cannot be written",
    Reason.CHECKPOINT: "a checkpoint cannot be written",
}
_SIGNALS = {
    signal.SIGTERM: Reason.SIGTERM,
    signal.SIGUSR1: Reason.SIGUSR1,
    signal.SIGINT: Reason.SIGINT,
}


class Stopping:
    """Watches for reasons to stop; a context, outside of which signals do what they did before.

    A second Ctrl-C, at least two seconds after the first, raises KeyboardInterrupt at once.
    """

    def __init__(
        self,
        run_dir: Path | None,
        *,
        max_hours: float | None = None,
        watch_launcher: bool = False,
        age_s: Callable[[], float] | None = None,
    ) -> None:
        """Watch a run that may last `max_hours` since its process started.

        One process looks for the file STOP in `run_dir`; the others, which may see a file that has
        been removed a while longer over NFS, are given None.

        With `watch_launcher`, the end of the parent process is a reason as well. `age_s` is the
        clock: seconds since the process started.
        """
        self._stop_file = run_dir / STOP if run_dir is not None else None
        self._limit_s = max_hours * 3600 if max_hours is not None else None
        self._age_s = age_s or _process_clock()
        self._parent = os.getppid() if watch_launcher else None
        self._signalled = Reason.NONE
        self._interrupted_s: float | None = None
        self._file_at_s = -_FILE_EVERY_S
        self._restore = ExitStack()

    def __enter__(self) -> "Stopping":
        """Take over the signals; for the main thread alone."""
        for number in _SIGNALS:
            former = signal.signal(number, self._receive)
            self._restore.callback(signal.signal, number, former or signal.SIG_DFL)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give the signals back; a launched process that ends with a sentence still says it.

        Once one process has ended, the launcher sends SIGTERM to the others, and SIGKILL later.
        """
        is_told = kind is not None and issubclass(kind, OSError | SentenceError)
        if not is_told or self._parent is None:
            self._restore.close()

    def requested(self) -> Reason:
        """Return why this process is to stop, NONE if it is not."""
        now_s = self._age_s()
        if self._signalled:
            return self._signalled
        if self._parent is not None and os.getppid() != self._parent:
            return Reason.LAUNCHER_ENDED
        if self._limit_s is not None and now_s >= self._limit_s:
            return Reason.TIME_LIMIT
        return Reason.STOP_FILE if self._finds_file(now_s) else Reason.NONE

    def _finds_file(self, now_s: float) -> bool:
        """Look for the file, but not in every step: run_dir may be far away."""
        if self._stop_file is None or now_s - self._file_at_s < _FILE_EVERY_S:
            return False
        self._file_at_s = now_s
        return self._stop_file.exists()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; the step in progress is finished."""
        reason = _SIGNALS[signal.Signals(number)]
        self._signalled = max(self._signalled, reason)
        if reason is not Reason.SIGINT:
            return
        now_s = self._age_s()
        if self._interrupted_s is None:
            self._interrupted_s = now_s
        elif now_s - self._interrupted_s >= _SECOND_S:
            raise KeyboardInterrupt


class Agreement:
    """Lets all processes act on what one of them has found.

    They compare numbers on the CPU, over connections of their own: asking the device would make
    the host wait for it in every step.
    """

    def __init__(self, *, timeout: timedelta) -> None:
        """Connect the processes; each must do so, and at the same point."""
        self._group: Any = None  # torch annotates it in two ways that exclude each other
        if distributed.is_available() and distributed.is_initialized():
            self._group = distributed.new_group(backend="gloo", timeout=timeout)

    def highest(self, number: int) -> int:
        """Return the highest of the numbers that the processes give; each must give one."""
        if self._group is None:
            return number
        numbers = torch.tensor([number])
        distributed.all_reduce(numbers, op=distributed.ReduceOp.MAX, group=self._group)
        return int(numbers)

    def reason(self, found: Reason) -> Reason:
        """Return the one reason for which all processes stop, NONE if no process has any."""
        return Reason(self.highest(found))

    def gather(self, found: Any) -> list[Any]:
        """Return what each process gives, in their order; each must give something."""
        if self._group is None:
            return [found]
        everything = [None] * distributed.get_world_size(self._group)
        distributed.all_gather_object(everything, found, group=self._group)
        return everything

    def raise_together(self, error: Exception | None) -> None:
        """Raise where one process has an error: its own there, ChildProcessError elsewhere.

        Without it the others would wait for the one that has failed until their timeout.
        """
        failed = self.highest(error is not None)
        if error is not None:
            raise error
        if failed:
            raise ChildProcessError("another process of this run has failed; see its message")


def process_age_s() -> float:
    """Return the seconds since this process was started, imports included (proc_pid_stat(5))."""
    _, _, after_name = Path("/proc/self/stat").read_text().rpartition(") ")
    ticks = int(after_name.split()[19])  # field 22, where what follows the name is field 3
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def clear_markers(run_dir: Path) -> None:
    """Remove what an earlier attempt was stopped by, and what it left: STOP and RESUME."""
    for name in (STOP, RESUME):
        (run_dir / name).unlink(missing_ok=True)


def mark_resumable(run_dir: Path, reason: Reason, *, first_step: int, step: int) -> None:
    """Say that the run was saved after `step` and is not finished.

    A batch script that finds the same `step` as after the attempt before should not requeue again;
    slurm/pretrain.sbatch does so.
    """
    content = {"step": step, "steps_gained": step - first_step, "reason": reason.text}
    write_json(run_dir / RESUME, content)


def _process_clock() -> Callable[[], float]:
    started_s = time.monotonic() - process_age_s()
    return lambda: time.monotonic() - started_s
