"""Every way to ask a run to stop is heard, and all processes stop together."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from lamae.runs.run_folder import RESUME, STOP
from pretrain.processes.stopping import (
    Agreement,
    Reason,
    Stopping,
    clear_markers,
    mark_resumable,
)

ROOT = Path(__file__).resolve().parents[1]
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Clock:
    def __init__(self) -> None:
        self.now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def signals_kept() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_reason_and_its_handler_is_given_back(tmp_path: Path, number: int) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with Stopping(tmp_path) as stopping:
        assert stopping.requested() is Reason.NONE
        os.kill(os.getpid(), number)
        assert stopping.requested().text == f"received {signal.Signals(number).name}"
        assert stopping.requested().name == signal.Signals(number).name
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_handlers_are_given_back_after_an_error_as_well(tmp_path: Path) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(ValueError, match="while training"), Stopping(tmp_path):
        raise ValueError("while training")
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_a_second_interrupt_ends_at_once_but_not_the_echo_of_the_first(tmp_path: Path) -> None:
    clock = Clock()
    with Stopping(tmp_path, age_s=clock) as stopping:
        os.kill(os.getpid(), signal.SIGINT)
        clock.now_s += 1.9
        os.kill(os.getpid(), signal.SIGINT)
        assert stopping.requested() is Reason.SIGINT
        clock.now_s += 0.2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_stop_file_is_found_but_is_not_looked_for_in_every_step(tmp_path: Path) -> None:
    clock = Clock()
    stopping = Stopping(tmp_path, age_s=clock)
    elsewhere = Stopping(None, age_s=clock)
    assert stopping.requested() is Reason.NONE
    (tmp_path / STOP).touch()
    clock.now_s += 0.5
    assert stopping.requested() is Reason.NONE
    clock.now_s += 0.5
    assert stopping.requested() is Reason.STOP_FILE
    assert elsewhere.requested() is Reason.NONE
    clear_markers(tmp_path)
    clock.now_s += 1
    assert stopping.requested() is Reason.NONE


def test_a_time_limit_counts_from_the_start_of_the_process(tmp_path: Path) -> None:
    clock = Clock()
    stopping = Stopping(tmp_path, max_hours=0.5, age_s=clock)
    clock.now_s = 1799.9
    assert stopping.requested() is Reason.NONE
    clock.now_s = 1800.0
    assert stopping.requested() is Reason.TIME_LIMIT
    assert Stopping(tmp_path, max_hours=1e-9).requested() is Reason.TIME_LIMIT


def test_the_age_of_a_process_counts_from_before_its_first_line() -> None:
    program = (
        "import time; begun = time.monotonic()\n"
        "from pretrain.processes.stopping import process_age_s\n"
        "print(time.monotonic() - begun, process_age_s())"
    )
    before_s = time.monotonic()
    script = [sys.executable, "-c", program]
    outcome = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    since_first_line_s, age_s = map(float, outcome.stdout.split())
    assert since_first_line_s - 0.01 <= age_s <= time.monotonic() - before_s + 0.01  # by ticks


ORPHAN = """
import os, sys, time
from pathlib import Path
from pretrain.processes.stopping import Stopping
ready, result = map(Path, sys.argv[1:])
if os.fork():
    while not ready.exists():
        time.sleep(0.01)
    os._exit(0)  # the launcher dies and tells nobody
with Stopping(None, watch_launcher=True) as watching, Stopping(None) as not_watching:
    before = watching.requested().name
    ready.touch()
    while not watching.requested():
        time.sleep(0.01)
    names = [before, watching.requested().name, not_watching.requested().name]
    result.with_suffix(".partial").write_text(" ".join(names))
    result.with_suffix(".partial").rename(result)
"""


def test_the_silent_end_of_the_launcher_is_a_reason_where_there_is_one(tmp_path: Path) -> None:
    result = tmp_path / "result"
    script = [sys.executable, "-c", ORPHAN, str(tmp_path / "ready"), str(result)]
    subprocess.run(script, cwd=ROOT, check=True, timeout=120)
    for _ in range(6000):
        if result.exists():
            break
        time.sleep(0.01)
    assert result.read_text().split() == ["NONE", "LAUNCHER_ENDED", "NONE"]


@pytest.mark.parametrize("reason", list(Reason))
def test_one_process_agrees_with_itself(reason: Reason) -> None:
    assert Agreement(timeout=timedelta(seconds=60)).reason(reason) is reason


def test_one_process_raises_its_own_error_and_none_without_one() -> None:
    agreement = Agreement(timeout=timedelta(seconds=60))
    agreement.raise_together(None)
    with pytest.raises(OSError, match="disk full"):
        agreement.raise_together(OSError("disk full"))


PROCESSES = """
import os, signal, sys
from datetime import timedelta
from torch import distributed
from pretrain.processes.stopping import Agreement, Stopping

rank, count = int(sys.argv[1]), int(sys.argv[2])
distributed.init_process_group(
    "gloo", init_method=f"file://{sys.argv[3]}", rank=rank, world_size=count
)
agreement = Agreement(timeout=timedelta(seconds=60))
with Stopping(None) as stopping:
    for step in range(1, 1000):
        if step == 5 and rank == count - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        if step == 5 and rank == 0:
            os.kill(os.getpid(), signal.SIGUSR1)
        reason = agreement.reason(stopping.requested())
        if reason:
            break
told = "none"
agreement.raise_together(None)
try:
    agreement.raise_together(OSError("disk full") if rank == 0 else None)
except (OSError, ChildProcessError) as error:
    told = type(error).__name__
print(step, reason.name, agreement.highest(rank), told)
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_all_processes_stop_after_the_same_step_and_know_why(tmp_path: Path) -> None:
    """Two of three are signalled, each otherwise, in one step."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESSES, str(rank), "3", str(tmp_path / "meeting")],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    told = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [line[:3] for line in told] == [["5", "SIGTERM", "2"]] * 3
    assert [line[3] for line in told] == ["OSError", "ChildProcessError", "ChildProcessError"]


def test_a_marker_says_where_and_why_and_is_removed_with_the_stop_file(tmp_path: Path) -> None:
    mark_resumable(tmp_path, Reason.TIME_LIMIT, first_step=100, step=130)
    (tmp_path / STOP).touch()
    expected = {"step": 130, "steps_gained": 30, "reason": "max_hours is over"}
    assert json.loads((tmp_path / RESUME).read_text()) == expected
    assert {path.name for path in tmp_path.iterdir()} == {STOP, RESUME}
    clear_markers(tmp_path)
    clear_markers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_reason_has_a_text_of_its_own() -> None:
    assert len({reason.text for reason in Reason}) == len(Reason)
    assert all("received" in Reason[number.name].text for number in SIGNALS)
