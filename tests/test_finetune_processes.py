"""Work of the main process alone: all have what it gives, and none waits where it fails."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from accelerate import Accelerator

from finetune.processes import from_main
from lamae.errors import InputError

PROGRAM = """
import sys
from accelerate import Accelerator
from finetune.processes import from_main
from lamae.errors import InputError

def refuse():
    raise InputError("folds", value=1, expected="two or more", remedy="Give more.")

def fail():
    raise OSError("disk full")

accelerator = Accelerator(cpu=True)
told = [accelerator.process_index, from_main(accelerator, lambda: accelerator.process_index + 7)]
for work in (refuse, fail):
    try:
        from_main(accelerator, work)
    except (InputError, OSError, ChildProcessError) as error:
        told.append(f"{type(error).__name__}: {error}")
sys.stdout.write(f"{told}\\n")
accelerator.end_training()
"""


def test_two_processes_have_the_result_of_the_main_one_and_end_where_it_fails(
    launch: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    told = launch(str(program), processes=2)
    assert told.returncode == 0, told.stderr
    refused = "InputError: folds: 1; expected two or more. Give more."
    failed = "ChildProcessError: the main process failed; see its message"
    assert sorted(told.stdout.splitlines()) == [
        str([0, 7, refused, "OSError: disk full"]),
        str([1, 7, refused, failed]),
    ]


def test_a_second_process_does_not_work_itself(
    accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def broadcast(own: list[Any]) -> list[Any]:
        sent.extend(own)
        return ["of the main process"]

    monkeypatch.setattr("finetune.processes.broadcast_object_list", broadcast)
    monkeypatch.setattr(Accelerator, "is_main_process", property(lambda _: False))

    def work() -> str:
        raise AssertionError("this is not the main process")

    assert from_main(accelerator, work) == "of the main process"
    assert isinstance(sent[0], ChildProcessError)


def test_one_process_raises_its_own_errors(accelerator: Accelerator) -> None:
    wrong = InputError("folds", value=1, expected="two", remedy="Give more.")
    for error in (wrong, OSError("disk full"), KeyError("a defect of the program")):

        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error)) as raised:
            from_main(accelerator, fail)
        assert raised.value is error
