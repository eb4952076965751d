"""The layout of recordings in a user's arrays, and such an array as a record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NoReturn, get_args

import numpy as np
from pydantic import Field

from lamae.config import Settings
from lamae.ecg.leads import LEADS, FoundLeads, RepeatedLeadError, find_leads
from lamae.ecg.record import MISSING, Reading, Record
from lamae.ecg.units import PER_MV
from lamae.errors import RecordError
from lamae.readers.quantise import REASONS as QUANTISE_REASONS
from lamae.readers.quantise import quantise
from lamae.readers.traces import MAX_SAMPLES, SAMPLING_RATES

Reason = Literal[
    "unknown_sampling_rate",
    "unsupported_type",
    "wrong_shape",
    "ambiguous_axes",
    "no_standard_lead",
    "duplicate_lead",
    "no_samples",
    "too_many_samples",
    "unknown_scale",
    "more_than_16_bits",
]
REASONS: tuple[str, ...] = (*get_args(Reason), *QUANTISE_REASONS)
"""Every reason that a RecordError of this module can have."""


class ArrayLayout(Settings):
    """Facts that .npy, .csv and HDF5 files do not state of the recordings in them."""

    sampling_rate: int | None = Field(None, ge=SAMPLING_RATES[0], le=SAMPLING_RATES[1])
    """Samples per second; must be given where recordings are arrays."""
    leads: tuple[str, ...] = LEADS
    """Lead of each row, in the order of the arrays; a .csv file names its own in its header."""
    unit: Literal["mV", "uV", "V"] = "mV"
    """Unit of the values, or of what `gain` counts."""
    gain: float | None = Field(None, gt=0)
    """Integer units per `unit`; null takes the values to be in `unit` themselves."""
    baseline: int = Field(0, ge=-(2**23), le=2**23)
    """The value at 0 mV."""
    axes: Literal["leads samples", "samples leads"] | None = None
    """Order of the axes of a recording; null tells it by the number of leads."""
    zero_padded: bool = False
    """True where zeros of all leads before and after a recording only fill its array."""
    dataset: str = "tracings"
    """Path of the dataset of recordings in an HDF5 file."""
    ids: str | None = None
    """Path of the dataset with the recordings' names in an HDF5 file; null numbers them from 0."""


def leads_first(shape: tuple[int, ...], layout: ArrayLayout, *, leads: int, name: str) -> bool:
    """Tell axes (leads, samples) from (samples, leads); raises RecordError for neither."""
    if len(shape) != 2:
        value = f"{len(shape)} axes"
        refuse(name, "wrong_shape", value=value, expected="leads and samples, a recording's two")
    fits = [axis for axis in (0, 1) if shape[axis] == leads]
    asked = {"leads samples": 0, "samples leads": 1, None: None}[layout.axes]
    if asked is None and len(fits) == 2:
        expected = "axes of different lengths"
        remedy = "Set arrays.axes."
        refuse(name, "ambiguous_axes", value=f"shape {shape}", expected=expected, remedy=remedy)
    lead_axis = asked if asked is not None else next(iter(fits), None)
    if lead_axis is None or lead_axis not in fits:
        expected = f"{leads} leads, and the samples of each"
        remedy = "Set arrays.leads and arrays.axes."
        refuse(name, "wrong_shape", value=f"shape {shape}", expected=expected, remedy=remedy)
    samples = shape[1 - lead_axis]
    if not samples:
        refuse(name, "no_samples", value="no samples", expected="some")
    if samples > MAX_SAMPLES:
        value = f"{samples} samples"
        refuse(name, "too_many_samples", value=value, expected=f"at most {MAX_SAMPLES}")
    return lead_axis == 0


def array_reading(
    array: np.ndarray,
    layout: ArrayLayout,
    *,
    leads: tuple[str, ...],
    name: str,
    files: tuple[Path, ...],
    leads_as: Mapping[str, str] | None = None,
) -> Reading:
    """Make a record of an array (leads, samples) whose rows are the named leads.

    Integers are kept as they are, floats are quantised, which is noted where it is not exact.
    Rows that are no standard lead are dropped. Raises RecordError with one of `REASONS`.
    """
    if layout.sampling_rate is None:
        expected, remedy = (
            "samples per second",
            "Set arrays.sampling_rate, or sampling_rate= in Python.",
        )
        refuse(name, "unknown_sampling_rate", value="none", expected=expected, remedy=remedy)
    found = _standard_leads(leads, leads_as, name)
    rows = found.rows
    chosen = np.asarray(array[list(rows.values())])
    if layout.zero_padded:
        chosen = _without_padding(chosen, layout.baseline, name)
    notes = found.notes
    if chosen.dtype.kind in "iu":
        digital = _as_int16(chosen, name)
        gain, baseline = _gain_per_mv(layout, name), layout.baseline
        gains, baselines = (gain,) * len(rows), (baseline,) * len(rows)
    else:
        digital, gains, baselines, error, lossless = quantise(_in_mv(chosen, layout), name=name)
        if not lossless:
            notes += (f"values became 16-bit integers with an error of at most {error:.2g} mV",)
    record = Record(name, digital, tuple(rows), layout.sampling_rate, gains, baselines)
    return Reading(record, files=files, dropped=found.dropped, notes=notes)


def check_type(dtype: np.dtype, name: str) -> None:
    """Raise RecordError for values that are no integers or floats of at most 64 bits."""
    if dtype.kind not in "iuf" or dtype.itemsize > 8 or dtype.subdtype:
        expected = "integers or floats of at most 64 bits"
        refuse(name, "unsupported_type", value=f"values of type {dtype}", expected=expected)


def refuse(
    name: str, reason: Reason, *, value: object, expected: str, remedy: str = "Leave it out."
) -> NoReturn:
    """Raise the RecordError of a recording."""
    raise RecordError(
        f"recording {name}", reason=reason, value=value, expected=expected, remedy=remedy
    )


def _standard_leads(
    leads: tuple[str, ...], leads_as: Mapping[str, str] | None, name: str
) -> FoundLeads:
    try:
        found = find_leads(leads, leads_as)
    except RepeatedLeadError as error:
        refuse(name, "duplicate_lead", value=error.value, expected="each lead once")
    if not found.rows:
        value = f"leads {', '.join(leads)[:200] or 'none'}"
        expected = "at least one of the twelve leads; leads_as names others"
        refuse(name, "no_standard_lead", value=value, expected=expected)
    return found


def _without_padding(array: np.ndarray, zero: int, name: str) -> np.ndarray:
    filled = np.flatnonzero((array != zero).any(axis=0))
    if not filled.size:
        refuse(name, "no_samples", value="zeros only", expected="a signal between the padding")
    return array[:, filled[0] : filled[-1] + 1]


def _gain_per_mv(layout: ArrayLayout, name: str) -> float:
    """Return the integer units per millivolt; microvolts are integers of their own."""
    if layout.gain is None and layout.unit != "uV":
        value = f"integers, and no gain per {layout.unit}"
        remedy = "Set arrays.gain, or arrays.unit to uV."
        refuse(name, "unknown_scale", value=value, expected="units per mV", remedy=remedy)
    return (layout.gain or 1.0) * PER_MV[layout.unit.lower()]


def _in_mv(array: np.ndarray, layout: ArrayLayout) -> np.ndarray:
    """Return millivolts; values that are in them already stay bit for bit."""
    per_mv = (layout.gain or 1.0) * PER_MV[layout.unit.lower()]
    if per_mv == 1.0 and not layout.baseline:
        return array
    with np.errstate(invalid="ignore", over="ignore"):  # what is infinite is refused afterwards
        return (array.astype(np.float64) - layout.baseline) / per_mv


def _as_int16(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.itemsize > 2 or array.dtype.kind == "u":
        low, high = int(array.min()), int(array.max())
        if low < MISSING or high >= -MISSING:
            value = f"integers from {low} to {high}"
            refuse(name, "more_than_16_bits", value=value, expected="values of 16 bits")
    return np.ascontiguousarray(array, dtype=np.int16)
