"""A process that is stuck ends, and says where, rather than hang for ever."""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

STUCK = 75
"""Exit status of a process that was stuck (EX_TEMPFAIL of sysexits.h)."""

_GRACE_S = 30


class Watchdog:
    """Ends the process if no step ends within a time; a context that watches from a thread.

    Should even that thread get no turn, because stuck C code holds Python's lock, the process is
    ended `_GRACE_S` later by faulthandler, without the message.
    """

    def __init__(
        self,
        timeout_s: float,
        *,
        rank: int,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[int], object] = os._exit,
        stream: TextIO | None = None,
    ) -> None:
        """Allow each step `timeout_s`, the first with what comes before it included.

        `stream` must be a real file; by default it is standard error.
        """
        self._timeout_s = timeout_s
        self._rank = rank
        self._clock = clock
        self._end = end
        self._stream = stream or sys.__stderr__ or sys.stderr
        self._step = 0
        self._doing = "start"
        self._beaten_s = clock()
        self._armed_s: float | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        """Begin to watch."""
        self._beaten_s = self._clock()
        self._arm()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End watching."""
        self._closed.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def beat(self, step: int, *, doing: str = "step") -> None:
        """Say that the process is alive, after how many steps, and what it does next."""
        self._step, self._doing = step, doing
        self._beaten_s = self._clock()
        if self._armed_s is not None and self._beaten_s - self._armed_s > self._timeout_s / 10:
            self._arm()

    def check(self) -> None:
        """End the process if it is overdue, with a message and the stacks of all threads."""
        silent_s = self._clock() - self._beaten_s
        if silent_s < self._timeout_s:
            return
        self._stream.write(
            f"error: process {self._rank} is stuck: after {self._step} steps, {self._doing} has "
            f"not ended for {silent_s:.0f} s; expected at most {self._timeout_s:.0f} s "
            "(timeout_s). It ends now. If another process has failed, see its message first; "
            "where this one was:\n"
        )
        self._stream.flush()
        faulthandler.dump_traceback(self._stream, all_threads=True)
        self._end(STUCK)

    def _watch(self) -> None:
        while not self._closed.wait(min(self._timeout_s / 4, 10.0)):
            self.check()

    def _arm(self) -> None:
        """Set the timer that needs no turn of Python, anew."""
        self._armed_s = self._clock()
        later_s = 1.1 * self._timeout_s + _GRACE_S  # beats set it at most every tenth
        faulthandler.dump_traceback_later(later_s, exit=True, file=self._stream)
