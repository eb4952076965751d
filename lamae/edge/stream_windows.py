"""Windows over samples that come in pieces of any size; torch is not needed."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lamae.ecg.record import Record
from lamae.errors import InputError


class StreamWindow(NamedTuple):
    """A window of a stream that is full."""

    start_s: float
    """Seconds from the first sample of the stream to the window's."""
    end_s: float
    """Seconds to its end."""
    record: Record
    """Its samples, as a recording of its own."""


class StreamWindows:
    """Windows of one length at one distance; at most a window and a piece are kept."""

    def __init__(self, header: Record, *, window_s: float, hop_s: float) -> None:
        """Begin a stream.

        Args:
            header: leads, rate, gains and baselines of what will come; its samples are no part.
            window_s: seconds of a window.
            hop_s: seconds from one window to the next.

        Raises InputError if a window or a hop has no sample.
        """
        self._header, rate = header, header.sampling_rate
        self._window, self._hop = round(window_s * rate), round(hop_s * rate)
        for name, samples, given in (
            ("window_s", self._window, window_s),
            ("hop_s", self._hop, hop_s),
        ):
            if samples < 1:
                raise InputError(
                    name,
                    value=f"{given:g} s at {rate} samples per second",
                    expected="at least one sample",
                    remedy="Give seconds, not samples.",
                )
        self._start = 0  # of the next window, in samples of the stream
        self._first = 0  # of what is kept
        self._kept = np.empty((len(header.leads), 0), dtype=np.int16)

    def push(self, digital: np.ndarray) -> list[StreamWindow]:
        """Take int16 (leads, samples), and return the windows that they complete.

        Raises InputError for samples of another shape or type.
        """
        if digital.dtype != np.int16 or digital.ndim != 2 or len(digital) != len(self._kept):
            raise InputError(
                "samples",
                value=f"{digital.dtype} {digital.shape}",
                expected=f"int16 ({len(self._kept)} leads, samples)",
                remedy="Give the leads of the stream, in their order, as the device counts them.",
            )
        self._kept = np.concatenate([self._kept, digital], axis=1)
        full = []
        while self._start + self._window <= self._first + self._kept.shape[1]:
            full.append(self._next())
            self._start += self._hop
        keep_from = min(self._start, self._first + self._kept.shape[1])
        self._kept = self._kept[:, keep_from - self._first :].copy()
        self._first = keep_from
        return full

    def _next(self) -> StreamWindow:
        rate, begin = self._header.sampling_rate, self._start - self._first
        samples = self._kept[:, begin : begin + self._window].copy()
        start_s, end_s = self._start / rate, (self._start + self._window) / rate
        name = f"{self._header.name} {start_s:g}-{end_s:g} s"
        return StreamWindow(start_s, end_s, replace(self._header, name=name, digital=samples))
