"""A stuck process ends with a message that says where."""

import subprocess
import sys
from pathlib import Path

import pytest

from pretrain.processes.watchdog import STUCK, Watchdog

ROOT = Path(__file__).resolve().parents[1]


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_process_that_makes_no_step_in_time_ends_and_says_where(
    tmp_path: Path, clock: Clock
) -> None:
    ended: list[int] = []
    with (tmp_path / "stderr").open("w+") as stream:
        watchdog = Watchdog(60.0, rank=3, clock=clock, end=ended.append, stream=stream)
        for step in range(1, 40):
            clock.now_s += 59
            watchdog.check()
            watchdog.beat(step)
        watchdog.beat(39, doing="validation")
        assert ended == []
        clock.now_s += 60
        watchdog.check()
        stream.seek(0)
        told = stream.read()
    assert ended == [STUCK]
    assert told.startswith(
        "error: process 3 is stuck: after 39 steps, validation has not ended for 60 s; "
    )
    assert "most recent call first" in told
    assert "test_a_process_that_makes_no_step_in_time" in told


def test_the_thread_ends_with_the_context(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w+") as stream:
        with Watchdog(3600.0, rank=0, stream=stream) as watchdog:
            assert watchdog._thread.is_alive()
            watchdog.beat(1)
        assert not watchdog._thread.is_alive()


def run_program(*lines: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_program_that_hangs_ends_with_the_status_and_the_line() -> None:
    outcome = run_program(
        "import threading",
        "from pretrain.processes.watchdog import Watchdog",
        "with Watchdog(0.2, rank=1) as watchdog:",
        "    watchdog.beat(7)",
        "    threading.Event().wait()  # for ever",
    )
    assert outcome.returncode == STUCK
    assert "process 1 is stuck: after 7 steps, step has not ended" in outcome.stderr
    assert 'File "<string>", line 5 in <module>' in outcome.stderr


def test_a_program_that_hangs_with_the_lock_of_python_ends_too() -> None:
    outcome = run_program(
        "import ctypes",
        "from pretrain.processes import watchdog",
        "watchdog._GRACE_S = 0.2",
        "with watchdog.Watchdog(0.2, rank=1):",
        "    ctypes.PyDLL(None).sleep(100)  # unlike CDLL, keeps the lock",
    )
    assert outcome.returncode == 1
    assert "Timeout" in outcome.stderr
    assert 'File "<string>", line 5 in <module>' in outcome.stderr
