"""Recordings are read, checked and encoded, by several processes, in the order of the source."""

import signal
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from lamae.errors import RecordError
from shards.read import read_entry
from lamae.samples import Sample, encode_metadata, encode_signal, metadata, signal_crc32
from shards.entries import Entry, Reject
from shards.quality import check_quality
from shards.settings import ShardsSettings

_CHUNK = 32

Task = tuple[Entry, str]
"""An entry, and the split that it goes to."""


class Encoded(NamedTuple):
    """A sample as it goes into a shard."""

    fields: dict[str, Any]
    """Its row in the index, without its place."""
    signal: bytes
    """Content of `<key>.npy`."""
    metadata: bytes
    """Content of `<key>.json`."""
    crc32: int
    """Checksum of the raw samples."""
    dropped: tuple[str, ...]
    """Names of the recording's signals that are no standard lead."""


def encode_in_order(
    tasks: Sequence[Task], settings: ShardsSettings
) -> Generator[Encoded | Reject, None, None]:
    """Yield what becomes of each task, in order; memory does not grow with their number.

    Close the generator to end its processes at once. Raises ChildProcessError if one is killed or
    fails.
    """
    starts = range(0, len(tasks), _CHUNK)
    chunks = (tasks[start : start + _CHUNK] for start in starts)
    if settings.workers == 1:
        for chunk in chunks:
            yield from _encode_chunk(chunk, settings)
        return
    with _started_readers(min(settings.workers, len(starts)), settings) as readers:
        busy: deque[Connection] = deque()
        for reader, chunk in zip(readers, chunks, strict=False):
            _send(reader, chunk)
            busy.append(reader)
        while busy:
            reader = busy.popleft()
            outcomes = _receive(reader)
            chunk = next(chunks, ())
            if chunk:
                _send(reader, chunk)
                busy.append(reader)
            yield from outcomes


@contextmanager
def _started_readers(number: int, settings: ShardsSettings) -> Iterator[list[Connection]]:
    """Run processes that answer chunks of tasks, each on a connection of its own.

    A shared queue, as in multiprocessing's pools, hangs when a process is killed while it writes;
    here the connection just ends.
    """
    context = get_context("spawn")  # a fork would copy locks that threads of libraries may hold
    resource_tracker.ensure_running()  # the first process starts it, and it lifts the mask below
    processes, connections = [], []
    try:
        for _ in range(number):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, settings), daemon=True)
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


def _serve(connection: Connection, settings: ShardsSettings) -> None:
    """Answer chunks of tasks until the connection ends; an error is the last answer, as text."""
    with suppress(EOFError, ConnectionError), ExitStack() as stack:
        stack.push(partial(_answer_error, connection))
        while True:
            connection.send(_encode_chunk(connection.recv(), settings))


def _answer_error(connection: Connection, *error: Any) -> bool:
    """Send an error that ends the process, unless it is the end of the connection."""
    if issubclass(error[0], EOFError | ConnectionError):
        return False
    connection.send("".join(traceback.format_exception(*error)))
    return True


def _send(reader: Connection, tasks: Sequence[Task]) -> None:
    try:
        reader.send(tasks)
    except OSError:
        raise _killed() from None


def _receive(reader: Connection) -> list[Encoded | Reject]:
    try:
        outcomes = reader.recv()
    except (EOFError, OSError):
        raise _killed() from None
    if isinstance(outcomes, str):
        raise ChildProcessError(f"a reading process failed:\n{outcomes}")
    return outcomes


def _killed() -> ChildProcessError:
    return ChildProcessError(
        "a reading process was killed, perhaps for memory; run again with fewer workers="
    )


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let processes that start here inherit a mask: Ctrl-C is answered by their parent alone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _encode_chunk(tasks: Sequence[Task], settings: ShardsSettings) -> list[Encoded | Reject]:
    return [encode(entry, split, settings) for entry, split in tasks]


def encode(entry: Entry, split: str, settings: ShardsSettings) -> Encoded | Reject:
    """Read one recording; returns why, if it cannot be read or its quality is refused."""
    try:
        record, _, dropped, _ = read_entry(entry, settings)
        check_quality(record, settings.preprocess, minimum_duration_s=settings.minimum_duration_s)
    except RecordError as error:
        return Reject(entry.path, error.reason, str(error))
    sample = Sample(
        key=entry.key,
        record=record,
        patient_id=entry.patient_id,
        split=split,
        fold=entry.fold,
        labels=entry.labels,
        source=entry.path,
    )
    return Encoded(
        fields=metadata(sample),
        signal=encode_signal(record),
        metadata=encode_metadata(sample),
        crc32=signal_crc32(record),
        dropped=dropped,
    )
