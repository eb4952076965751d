"""Time that a process takes in forward passes, in which it waits for no other process."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class ForwardTime:
    """Sum of the forward passes of one process, by the clock of its device.

    Backward and the step wait for all processes, so a slow one cannot be told from them: all seem
    as slow. Where weights are spread over the processes (FSDP, ZeRO-3), forward waits as well.
    """

    def __init__(
        self, device: torch.device, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Begin with no time."""
        self._on_gpu = device.type == "cuda"
        self._clock = clock
        self._seconds = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Add the time in this context; on a GPU the host does not wait for it."""
        if self._on_gpu:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            yield
            last.record()
            self._events.append((first, last))
            return
        started = self._clock()
        yield
        self._seconds += self._clock() - started

    def take(self) -> float:
        """Return the seconds since the last call; on a GPU once the passes have ended."""
        seconds = self._seconds
        for first, last in self._events:
            last.synchronize()
            seconds += first.elapsed_time(last) / 1000
        self._seconds, self._events = 0.0, []
        return seconds
