"""CPSC 2018 as it was published: a MATLAB struct `ECG` with sex, age and data for each recording.

Liu et al. 2018, "An Open Access Database for Evaluating the Algorithms of Electrocardiogram Rhythm
and Morphology Abnormality Detection", J. Med. Imaging Health Inform. 8(7): 12 leads at 500 Hz, in
millivolts.
"""

import stat
from pathlib import Path
from typing import Literal, NoReturn, get_args

import numpy as np

from lamae.ecg.leads import LEADS
from lamae.ecg.record import Reading, Record
from lamae.ecg.units import units_per_mv
from lamae.errors import RecordError
from lamae.readers.arrays.mat5 import LARGEST_FILE, Mat5Error, read_struct
from lamae.readers.quantise import REASONS as QUANTISE_REASONS
from lamae.readers.quantise import quantise

SAMPLING_RATE = 500
"""Samples per second of every recording of the set."""

Reason = Literal["missing_signal_file", "unsupported_format", "unreadable_signal"]
REASONS: tuple[str, ...] = (*get_args(Reason), *QUANTISE_REASONS)
"""Every reason that a RecordError of `read_icbeb` can have."""

_HDF5 = b"MATLAB 7.3"
_REPORTED_ERROR_MV = 1e-6


def read_icbeb(path: Path, *, unit: str | None = None) -> Reading:
    """Read a recording of CPSC 2018 in its original form; its leads are in the canonical order.

    `unit` is that of the values, if it is not mV. Values that are no multiples of a step are
    rounded to 16 bits, and a note says how far. Raises RecordError, with one of `REASONS`, for
    every file that cannot be read.
    """
    content = _content(path)
    try:
        fields = read_struct(content)
    except Mat5Error as error:
        _refuse(path, "unreadable_signal", error)
    data = fields.get("data")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or len(data) != len(LEADS):
        value = f"data {getattr(data, 'shape', 'missing')} in a struct of {', '.join(fields)}"
        _refuse(path, "unreadable_signal", value)
    if not data.shape[1]:
        _refuse(path, "unreadable_signal", "no samples")
    per_mv = units_per_mv(unit or "mV") or 1.0
    quantised = quantise(data if per_mv == 1 else data / per_mv, name=str(path))
    record = Record(
        name=path.stem,
        digital=quantised.digital,
        leads=LEADS,
        sampling_rate=SAMPLING_RATE,
        gain=quantised.gain,
        baseline=quantised.baseline,
        comments=_comments(fields),
    )
    error_uv = 1000 * quantised.largest_error_mv
    note = f"Millivolts were rounded to 16-bit integers, by at most {error_uv:.2g} uV."
    exact = quantised.largest_error_mv <= _REPORTED_ERROR_MV
    return Reading(record, (path,), notes=() if exact else (note,))


def _content(path: Path) -> bytes:
    try:
        found = path.stat()
        regular = stat.S_ISREG(found.st_mode)
        content = path.read_bytes() if regular and found.st_size <= LARGEST_FILE else b""
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        _refuse(path, "missing_signal_file", error)
    if not regular:
        _refuse(path, "missing_signal_file", "not a file")
    if found.st_size > LARGEST_FILE:
        _refuse(path, "unsupported_format", f"{found.st_size} bytes")
    if content.startswith(_HDF5):
        _refuse(path, "unsupported_format", "a MAT-file of level 7.3, which is HDF5")
    return content


def _refuse(path: Path, reason: Reason, value: object) -> NoReturn:
    raise RecordError(
        f"recording {path}",
        reason=reason,
        value=value,
        expected=f"a MAT-file of level 5 with a struct that has 12 x samples of data, "
        f"at most {LARGEST_FILE} bytes",
        remedy="Leave it out, or copy it again.",
    )


def _comments(fields: dict[str, np.ndarray | str]) -> tuple[str, ...]:
    """Return age and sex in the form that the headers of the PhysioNet copy have."""
    age, sex = fields.get("age"), fields.get("sex")
    comments = []
    if isinstance(age, np.ndarray) and age.size == 1:
        comments.append(f"Age: {float(age.item()):g}")
    if isinstance(sex, str) and sex.strip():
        comments.append(f"Sex: {sex.strip()}")
    return tuple(comments)
