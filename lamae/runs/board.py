"""Event files of TensorBoard, written by the thread that calls.

torch's SummaryWriter writes in a thread of its own, which a full disk ends with a traceback.
"""

import os
import socket
import time
from pathlib import Path


class Board:
    """Scalars in one event file of a folder, for TensorBoard."""

    def __init__(self, folder: Path, *, purge_step: int) -> None:
        """Begin a file that takes the place of what others in the folder have from a step on."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("wb")
        self._records = RecordWriter(self._file)
        self._event = Event
        self._append(Event(wall_time=now, file_version="brain.Event:2"))
        start = SessionLog(status=SessionLog.START)
        self._append(Event(wall_time=now, step=purge_step, session_log=start))

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Add scalars of a step."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self._append(self._event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, event: object) -> None:
        self._records.write(event.SerializeToString())  # type: ignore[attr-defined]
        self._file.flush()
