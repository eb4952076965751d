"""Tasks that several processes share, which end with the program and never hang."""

import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_tasks(function: Callable[[T], R], tasks: Sequence[T], *, processes: int) -> Generator[R]:
    """Yield what `function` returns for each task, in order; both must be picklable.

    Close the iterator to end its processes at once. Raises what `function` raises, and
    ChildProcessError if a process is killed.
    """
    if processes == 1 or len(tasks) <= 1:
        yield from map(function, tasks)
        return
    others = active_children()
    context = get_context("spawn")  # a fork would copy locks that threads of libraries may hold
    workers = min(processes, len(tasks))
    pool = ProcessPoolExecutor(workers, context, initializer=_end_with_the_program)
    try:
        yield from pool.map(function, tasks)
    except BrokenProcessPool:
        raise ChildProcessError(
            "a working process was killed, perhaps for memory; run again with fewer workers="
        ) from None
    finally:  # after an error or an interruption, what runs is not waited for
        for process in active_children():
            if process not in others:
                process.terminate()
        pool.shutdown(cancel_futures=True)


def _end_with_the_program() -> None:
    """Leave Ctrl-C to the program, and end when it is killed: a pool's process would wait on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_await_the_end, daemon=True).start()


def _await_the_end() -> None:
    program = parent_process()
    if program is not None:
        program.join()
        os._exit(1)
