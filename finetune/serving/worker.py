"""One thread for all heavy work, with few places before it, and a deadline for each request."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

MAX_WAITING = 8
"""Requests that wait for the one that is worked on; more are sent away."""

S = TypeVar("S")
T = TypeVar("T")


class BusyError(Exception):
    """All places are taken."""


class Deadline(NamedTuple):
    """The time at which a request is given up."""

    at: float
    """On the clock of `time.monotonic`."""

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline so many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        """Seconds that are left; negative once it has passed."""
        return self.at - time.monotonic()

    def check(self) -> None:
        """Raise TimeoutError once it has passed, between two steps of work."""
        if self.left_s <= 0:
            raise TimeoutError


class Place:
    """A place before the worker, to be left once."""

    def __init__(self, places: threading.Semaphore) -> None:
        """Take a place that was acquired."""
        self._places, self._lock, self._taken = places, threading.Lock(), True

    def leave(self, _: object = None) -> None:
        """Give the place to the next."""
        with self._lock:
            if self._taken:
                self._places.release()
            self._taken = False


class Worker(Generic[S]):
    """A thread that opens something slow, and then works with it on one request after another."""

    def __init__(self, open_subject: Callable[[], S], *, max_waiting: int = MAX_WAITING) -> None:
        """Name what to open; nothing is done before `start`."""
        self.opened = threading.Event()
        """Set once the subject is open, or once it turned out that it cannot be."""
        self.failure: BaseException | None = None
        """Reason why the subject could not be opened."""
        self.subject: S | None = None
        """The opened subject; only the thread works with it."""
        self._open = open_subject
        self._jobs: queue.SimpleQueue[tuple[Callable[[S], object], Future] | None]
        self._jobs = queue.SimpleQueue()
        self._places = threading.Semaphore(1 + max_waiting)
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, patience_s: float) -> bool:
        """End the thread behind the job that it does; True where that is done in time."""
        self._jobs.put(None)
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def take_place(self) -> Place:
        """Take a place; raises BusyError where none is free."""
        if not self._places.acquire(blocking=False):
            raise BusyError
        return Place(self._places)

    async def run(self, job: Callable[[S], T], place: Place, deadline: Deadline) -> T:
        """Return what a job makes of the subject; raises TimeoutError at its deadline.

        The place is left once the job is done or is known never to begin, which may be later.
        """
        future: Future[T] = Future()
        future.add_done_callback(place.leave)
        self._jobs.put((job, future))
        waiting = asyncio.wrap_future(future)
        try:
            async with asyncio.timeout(max(deadline.left_s, 0)):
                return await asyncio.shield(waiting)
        finally:
            future.cancel()  # without effect once it runs: its own deadline ends it
            waiting.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _work(self) -> None:
        try:
            subject = self.subject = self._open()
        except BaseException as error:
            self.failure = error
            return
        finally:
            self.opened.set()
        while (item := self._jobs.get()) is not None:
            job, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job(subject))
            except BaseException as error:
                future.set_exception(error)
            del item, job, future  # what was sent goes before the next one comes
