"""The binary signal files of a WFDB record, as signal(5) of the WFDB Applications Guide says.

The wfdb package unpacks the formats in which samples are no whole bytes, and some others.
"""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lamae.ecg.record import MISSING


class Format(NamedTuple):
    """How samples are stored."""

    bytes_per_sample: Fraction
    """Bytes that a sample takes."""
    missing: int
    """The integer that marks a missing sample."""


FORMATS = {
    "16": Format(Fraction(2), -(2**15)),
    "24": Format(Fraction(3), -(2**23)),
    "32": Format(Fraction(4), -(2**31)),
    "61": Format(Fraction(2), -(2**15)),
    "80": Format(Fraction(1), -(2**7)),
    "160": Format(Fraction(2), -(2**15)),
    "212": Format(Fraction(3, 2), -(2**11)),
    "310": Format(Fraction(4, 3), -(2**9)),
    "311": Format(Fraction(4, 3), -(2**9)),
}
"""The storage formats that are read, by the name that a header gives."""

_ALIGNED = {"16": "<i2", "32": "<i4", "61": ">i2"}
"""Formats that numpy reads as they are."""

# What wfdb lets through when a header or a signal file is not what it expects.
_WFDB_ERRORS = (OSError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError)


class SignalFile(NamedTuple):
    """A signal file: the signals whose samples alternate in it, from `offset` bytes on."""

    path: Path
    """Where it is."""
    channels: list[int]
    """Places of its signals in the header."""
    format: str
    """One of `FORMATS`."""
    offset: int
    """Bytes before the first sample."""

    def samples_in(self, size: int) -> int:
        """Return the samples of each signal that a file of `size` bytes holds."""
        payload = max(0, size - self.offset)
        return int(payload / FORMATS[self.format].bytes_per_sample) // len(self.channels)

    def bytes_of(self, samples: int) -> int:
        """Return the bytes of `samples` samples of each signal, rounded up."""
        return -int(-samples * len(self.channels) * FORMATS[self.format].bytes_per_sample // 1)


def read_values(stem: Path, file: SignalFile, samples: int) -> np.ndarray:
    """Return the integers of a file, (signals, samples), as they are stored.

    Raises ValueError for a file that is not what the header at `stem` says.
    """
    try:
        aligned = file.format in _ALIGNED
        values = _read_aligned(file, samples) if aligned else _unpack(stem, file)
    except _WFDB_ERRORS as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if values.shape != (len(file.channels), samples):
        raise ValueError(f"holds {values.shape} signals and samples")
    return values


def _read_aligned(file: SignalFile, samples: int) -> np.ndarray:
    count = samples * len(file.channels)
    values = np.fromfile(file.path, _ALIGNED[file.format], count=count, offset=file.offset)
    return values.reshape(-1, len(file.channels)).T


def _unpack(stem: Path, file: SignalFile) -> np.ndarray:
    import wfdb  # a second, in each process, that the aligned formats do not need

    record = wfdb.rdrecord(
        str(stem), physical=False, channels=file.channels, smooth_frames=False, return_res=32
    )
    return np.stack(record.e_d_signal)


def as_int16(file: SignalFile, values: np.ndarray) -> np.ndarray:
    """Return int16 with `MISSING` for missing samples; raises ValueError if others do not fit."""
    if file.format == "16":
        return values
    missing = values == FORMATS[file.format].missing
    known = values[~missing]
    if known.size and max(int(known.max()), -int(known.min())) >= -MISSING:
        raise ValueError(f"values from {known.min()} to {known.max()}")
    return np.where(missing, MISSING, values).astype(np.int16)
