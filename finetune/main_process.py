"""What the main process does for all, in which no error leaves the others waiting."""

from collections.abc import Callable
from typing import TypeVar

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from lamae.errors import InputError

T = TypeVar("T")


def from_main(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do work on the main process alone, and return what it gives on every process.

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
