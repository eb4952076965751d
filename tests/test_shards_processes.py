import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamae.errors import RecordError
from shards.processes import share_work


def count(task: int) -> Iterator[int]:
    yield task
    yield 1


def fail(task: int) -> Iterator[int]:
    yield 1
    if task == 3:
        raise RecordError("thing", reason="why", value=task, expected="e", remedy="r")
    if task == 4:
        raise ZeroDivisionError(task)
    if task == 5:
        os.kill(os.getpid(), signal.SIGKILL)


def note_and_wait(task: Path) -> Iterator[int]:
    task.write_text(str(os.getpid()))
    yield 1
    time.sleep(600)


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_all_tasks_are_done_and_their_progress_is_told(processes: int) -> None:
    done = list(share_work(count, list(range(7)), processes=processes))
    assert sorted(done) == sorted([*range(7), *[1] * 7])


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        (3, RecordError, "thing: 3; expected e. r"),
        (4, ChildProcessError, "ZeroDivisionError: 4"),
        (5, ChildProcessError, "was killed, perhaps for memory"),
    ],
)
def test_what_ends_a_process_is_told(task: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        list(share_work(fail, [0, task, 1], processes=2))
    if isinstance(caught.value, RecordError):
        assert caught.value.reason == "why"


def test_closing_ends_the_processes(tmp_path: Path) -> None:
    tasks = [tmp_path / "a", tmp_path / "b"]
    progress = share_work(note_and_wait, tasks, processes=2)
    assert [next(progress), next(progress)] == [1, 1]
    progress.close()
    for task in tasks:
        with pytest.raises(ProcessLookupError):
            os.kill(int(task.read_text()), 0)


def test_without_tasks_there_is_nothing_to_do() -> None:
    assert list(share_work(count, [], processes=2)) == []
