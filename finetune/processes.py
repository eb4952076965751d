"""Processes of a command: their start, and work of the main one for all of them."""

from collections.abc import Callable
from typing import TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from finetune.run_settings import RunSettings
from lamae.errors import InputError
from lamae.training.threads import use_cores

T = TypeVar("T")


def start(settings: RunSettings, *, precision: str = "fp32") -> Accelerator:
    """Start this process as one of several, with arithmetic in a precision, fp32 or bf16."""
    accelerator = Accelerator(mixed_precision={"fp32": "no", "bf16": "bf16"}[precision])
    use_cores(accelerator, settings.cpu_threads)
    return accelerator


def start_single(settings: RunSettings) -> Accelerator:
    """Start the one process of a command; raises InputError where several were launched."""
    accelerator = start(settings)
    if accelerator.num_processes > 1:
        raise InputError(
            "processes",
            value=str(accelerator.num_processes),
            expected="one",
            remedy="Launch with --num_processes 1; a GPU or several threads serve it.",
        )
    return accelerator


def from_main(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Run a function on the main process, and return its result on every process.

    Each process must call it at the same point. Where the work fails, all end: an InputError is
    raised on every process; any other error on the main one, and ChildProcessError on the others.
    """
    found: list[T | Exception] = [ChildProcessError("the main process failed; see its message")]
    try:
        if accelerator.is_main_process:
            found = [work()]
    except InputError as error:
        found = [error]
    finally:
        (result,) = broadcast_object_list(found)
    if isinstance(result, Exception):
        raise result
    return result
