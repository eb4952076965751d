"""One recording, as its file has it: integer samples and what turns them into millivolts."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from lamae.ecg.leads import LEADS

MISSING = -32768
"""The integer that marks a missing sample (WFDB's invalid-sample value in 16-bit formats)."""


@dataclass(frozen=True)
class About:
    """The facts that a file states of the person and the time of its recording."""

    patient_id: str | None = None
    """Identifier of the person; `shards` can write its hash instead."""
    age: float | None = None
    """Years."""
    sex: Literal["female", "male"] | None = None
    """Sex, where the file has one of the two."""
    start: datetime | None = None
    """Date and time of the first sample."""


@dataclass(frozen=True)
class Record:
    """A recording of some of the twelve leads."""

    name: str
    """Name of the recording, as a user would look it up."""
    digital: np.ndarray
    """int16 (leads, samples); `MISSING` where a sample is missing."""
    leads: tuple[str, ...]
    """Canonical lead names of the rows, each at most once."""
    sampling_rate: int
    """Samples per second."""
    gain: tuple[float, ...]
    """Integer units per millivolt, for each lead."""
    baseline: tuple[int, ...]
    """The integer at 0 mV, for each lead."""
    comments: tuple[str, ...] = ()
    """Header comments, without their mark."""
    about: About = About()
    """Person and time, where the file states them; never a name or a date of birth."""

    def __post_init__(self) -> None:
        """Hold the fields against each other."""
        rows = len(self.leads)
        if self.digital.dtype != np.int16 or self.digital.ndim != 2:
            raise ValueError(f"{self.name}: digital must be int16 (leads, samples)")
        if not len(self.digital) == len(self.gain) == len(self.baseline) == rows:
            raise ValueError(f"{self.name}: {rows} leads, but other numbers of rows or gains")
        if len(set(self.leads)) != rows or not set(self.leads) <= set(LEADS):
            raise ValueError(f"{self.name}: leads {self.leads} are not distinct canonical names")

    @property
    def duration_s(self) -> float:
        """Length of the recording in seconds."""
        return self.digital.shape[1] / self.sampling_rate

    def signal_mv(self) -> np.ndarray:
        """Return float32 (leads, samples) in millivolts; NaN where a sample is missing."""
        gain = np.array(self.gain, dtype=np.float32)[:, None]
        baseline = np.array(self.baseline, dtype=np.float32)[:, None]
        signal = (self.digital.astype(np.float32) - baseline) / gain
        missing = self.digital == MISSING
        if missing.any():
            signal[missing] = np.nan
        return signal


class Reading(NamedTuple):
    """The record in the file, or files, of one recording, and how it was read."""

    record: Record
    """Its standard leads."""
    files: tuple[Path, ...]
    """The files that were read, for a checksum of where the recording comes from."""
    dropped: tuple[str, ...] = ()
    """Names of signals in the file that are no standard lead."""
    notes: tuple[str, ...] = ()
    """Changes and assumptions of the reader, one sentence each."""
