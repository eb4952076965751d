"""Speed of training, from the clock of the host: nothing here waits for the device."""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

_GIB = 2**30
_UNIT_OF_MAXRSS = 1024  # Linux counts in KiB


class Work(NamedTuple):
    """Amount of work in one optimiser step, over all processes."""

    ecgs: int
    """Recordings."""
    tokens: float
    """Patches that the encoder sees."""
    flops: float
    """Floating-point operations of the model, forward and backward."""
    peak: float
    """Operations per second of all devices together, as measured on large matrices."""


class Meter:
    """Time of the steps between two reports, without what is no part of a step.

    A step on a GPU ends after the host has gone on. Times are right all the same where the host
    has read a result of the last step, such as its loss, before it asks for a report.
    """

    def __init__(
        self,
        work: Work,
        *,
        device: torch.device,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Begin to measure; peak memory of a GPU is that from now on."""
        self._work = work
        self._device = device
        self._clock = clock
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._restart()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time in this context as waiting for data.

        A GPU may still have work then, so that its share is an upper bound of lost time.
        """
        started = self._clock()
        try:
            yield
        finally:
            self._waited_s += self._clock() - started

    @contextmanager
    def excluded(self) -> Iterator[None]:
        """Leave the time in this context out: validation, probes, pictures and checkpoints."""
        started = self._clock()
        try:
            yield
        finally:
            self._excluded_s += self._clock() - started

    def stepped(self) -> None:
        """Count one optimiser step."""
        self._steps += 1

    def report(self) -> dict[str, float]:
        """Return scalars to log of the steps since the last report, and begin anew.

        `time/step_s` and rates are of all processes, shares and memory of this one. Nothing where
        there was no step.
        """
        steps, seconds = self._steps, self._clock() - self._started - self._excluded_s
        waited_s = self._waited_s
        self._restart()
        if not steps or seconds <= 0:
            return {}
        work, rate = self._work, steps / seconds
        return {
            "time/step_s": 1 / rate,
            "time/ecg_per_s": work.ecgs * rate,
            "time/tokens_per_s": work.tokens * rate,
            "time/data_wait_share": waited_s / seconds,
            "time/flop_utilisation": work.flops * rate / work.peak,
            "memory/peak_gib": peak_memory(self._device) / _GIB,
        }

    def _restart(self) -> None:
        self._started = self._clock()
        self._steps = 0
        self._waited_s = self._excluded_s = 0.0


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that tensors on a GPU took, or else this process on the host."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT_OF_MAXRSS
