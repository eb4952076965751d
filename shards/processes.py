"""Work that several processes share, so that it ends with them and never hangs."""

import signal
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from lamae.errors import InputError

T = TypeVar("T")
Work = Callable[[T], Iterator[int]]
"""Does one task, and yields how much of it was done since it last yielded."""


def share_work(work: Work[T], tasks: Sequence[T], *, processes: int) -> Generator[int, None, None]:
    """Yield the progress of all tasks; they begin in order and end in any.

    `work` and the tasks must be picklable. Close the generator to end its processes at once.
    Raises what InputError `work` raises, and ChildProcessError if a process fails or is killed.
    """
    if processes == 1 or len(tasks) <= 1:
        for task in tasks:
            yield from work(task)
        return
    waiting = iter(tasks)
    with _started(work, min(processes, len(tasks))) as workers:
        busy = [
            worker for worker, task in zip(workers, waiting, strict=False) if _gave(worker, task)
        ]
        while busy:
            for worker in wait(busy):
                assert isinstance(worker, Connection)
                answer = _answer(worker)
                if answer is not None:
                    yield answer
                    continue
                busy.remove(worker)
                for task in waiting:
                    _gave(worker, task)
                    busy.append(worker)
                    break


@contextmanager
def _started(work: Work[T], number: int) -> Iterator[list[Connection]]:
    """Run processes that do tasks, each on a connection of its own.

    A shared queue, as in multiprocessing's pools, hangs when a process is killed while it writes;
    here the connection just ends.
    """
    context = get_context("spawn")  # a fork would copy locks that threads of libraries may hold
    resource_tracker.ensure_running()  # the first process starts it, and it lifts the mask below
    processes, connections = [], []
    try:
        for _ in range(number):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, work), daemon=True)
            with _interrupts_held():
                process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
        yield connections
    finally:
        for process, connection in zip(processes, connections, strict=True):
            process.terminate()
            process.join()
            connection.close()


def _serve(connection: Connection, work: Work[T]) -> None:
    """Do tasks until the connection ends: numbers, then None, or the error that ended a task."""
    with suppress(EOFError, ConnectionError):
        while True:
            task = connection.recv()
            try:
                for number in work(task):
                    connection.send(number)
                connection.send(None)
            except InputError as error:
                connection.send(error)
            except (EOFError, ConnectionError):
                raise
            except BaseException:  # told in full by the parent, which ends this process
                connection.send(traceback.format_exc())


def _gave(worker: Connection, task: Any) -> bool:
    try:
        worker.send(task)
    except OSError:
        raise _killed() from None
    return True


def _answer(worker: Connection) -> int | None:
    try:
        answer = worker.recv()
    except (EOFError, OSError):
        raise _killed() from None
    if isinstance(answer, InputError):
        raise answer
    if isinstance(answer, str):
        raise ChildProcessError(f"a working process failed:\n{answer}")
    return answer


def _killed() -> ChildProcessError:
    return ChildProcessError(
        "a working process was killed, perhaps for memory; run again with fewer workers="
    )


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let processes that start here inherit a mask: Ctrl-C is answered by their parent alone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
