import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lamae.errors import RecordError
from shards.processes import map_tasks


def squared(task: int) -> int:
    return task**2


def fail(task: int) -> int:
    if task == 3:
        raise RecordError("thing", reason="why", value=task, expected="e", remedy="r")
    if task == 4:
        raise ZeroDivisionError(task)
    if task == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def note_and_wait(task: Path) -> None:
    if task.name == "first":
        return
    task.write_text(str(os.getpid()))
    time.sleep(600)


def await_true(claim: Callable[[], bool]) -> None:
    for _ in range(600):
        if claim():
            return
        time.sleep(0.05)
    raise AssertionError("not within 30 s")


def is_gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_all_tasks_are_done_and_answered_in_order(processes: int) -> None:
    done = list(map_tasks(squared, list(range(7)), processes=processes))
    assert done == [0, 1, 4, 9, 16, 25, 36]


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        (3, RecordError, "thing: 3; expected e. r"),
        (4, ZeroDivisionError, "4"),
        (5, ChildProcessError, "was killed, perhaps for memory"),
    ],
)
def test_an_error_in_a_process_is_raised(task: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        list(map_tasks(fail, [0, task, 1], processes=2))
    if isinstance(caught.value, RecordError):
        assert caught.value.reason == "why"


def test_closing_ends_the_processes(tmp_path: Path) -> None:
    tasks = [tmp_path / "first", tmp_path / "a"]
    answers = map_tasks(note_and_wait, tasks, processes=2)
    assert next(answers) is None
    await_true(lambda: tasks[1].exists() and tasks[1].read_text() != "")
    answers.close()
    assert is_gone(int(tasks[1].read_text()))


PROGRAM = """
import os, sys, time
from pathlib import Path
from shards.processes import map_tasks

def note_and_wait(task):
    Path(task).write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    list(map_tasks(note_and_wait, sys.argv[1:], processes=2))
"""


def test_processes_end_when_the_program_is_killed(tmp_path: Path) -> None:
    script, tasks = tmp_path / "program.py", [tmp_path / "a", tmp_path / "b"]
    script.write_text(PROGRAM)
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, str(script), *map(str, tasks)]
    program = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": root})
    await_true(lambda: all(task.exists() and task.read_text() for task in tasks))
    program.kill()
    program.wait()
    await_true(lambda: all(is_gone(int(task.read_text())) for task in tasks))


def test_without_tasks_there_is_nothing_to_do() -> None:
    assert list(map_tasks(squared, [], processes=2)) == []
