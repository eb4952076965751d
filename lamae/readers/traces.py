"""Leads as files hold them, each with its own rate, width and scale, become one record."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Literal, NamedTuple, NoReturn, get_args

import numpy as np

from lamae.ecg.record import MISSING, About, Record
from lamae.errors import RecordError

Reason = Literal["implausible_sampling_rate", "implausible_gain", "too_many_samples", "no_samples"]
REASONS: tuple[str, ...] = get_args(Reason)
"""Every reason that a RecordError of this module can have."""

MAX_SAMPLES = 2**25
"""Largest number of samples of a lead: a day at 388 Hz."""
MAX_VALUES = 12 * 2**24
"""Largest number of samples of all leads together: twelve for 4.6 hours at 1000 Hz."""
SAMPLING_RATES = (50, 10_000)
"""Slowest and fastest sampling rate that is believed, in samples per second."""
GAINS_PER_MV = (1e-6, 1e8)
"""Fewest and most integer units per millivolt that are believed."""

_LARGEST = 2**15 - 1  # -2**15 is MISSING
_MAX_BASELINE = 2**31 - 1
_FINEST_RATIO = 10_000
"""Rates are resampled by quotients of integers up to here: exact to 5e-9."""


class Trace(NamedTuple):
    """One lead of a file."""

    lead: str
    """Canonical name."""
    values: np.ndarray
    """Integers (samples,); in int16 `MISSING` stands for a missing sample."""
    gain: float
    """Integer units per millivolt."""
    baseline: float = 0.0
    """The integer, or what lies between two, at 0 mV."""
    sampling_rate: float = 0.0
    """Samples per second."""
    missing: np.ndarray | None = None
    """bool (samples,): True where a sample is missing; None where `values` says so, or none is."""

    def is_missing(self) -> np.ndarray:
        """Return bool (samples,): True where a sample is missing."""
        if self.missing is not None:
            return self.missing
        if self.values.dtype.kind == "i" and self.values.dtype.itemsize == 2:
            return self.values == MISSING
        return np.zeros(len(self.values), bool)

    def in_mv(self) -> np.ndarray:
        """Return float64 (samples,) in millivolts; NaN where a sample is missing."""
        signal = (self.values.astype(np.float64) - self.baseline) / self.gain
        return np.where(self.is_missing(), np.nan, signal)


class Joined(NamedTuple):
    """A record of traces."""

    record: Record
    """All of them at one rate, in 16 bits."""
    notes: tuple[str, ...]
    """A sentence for all that could not stay as it was."""


def join_traces(
    traces: Sequence[Trace],
    *,
    name: str,
    thing: str = "",
    comments: tuple[str, ...] = (),
    about: About | None = None,
) -> Joined:
    """Make a record of traces, which are in the order of its leads.

    Integers of 16 bits at one whole rate stay as they are; wider ones are shifted if that makes
    them fit, else divided; slower leads are resampled to the fastest, and fractional rates to the
    nearest whole one. `thing` is for errors: the file; raises RecordError with one of `REASONS`.
    """
    thing = thing or name
    notes: list[str] = []
    rate = _whole_rate([trace.sampling_rate for trace in traces], thing, notes)
    for trace in traces:
        _check(trace, thing)
    if (values := sum(len(trace.values) for trace in traces)) > MAX_VALUES:
        expected = f"at most {MAX_VALUES}"
        refuse(thing, "too_many_samples", value=f"{values} samples of all leads", expected=expected)
    fitted = [_as_int16(_at_rate(trace, rate, notes), notes) for trace in traces]
    record = Record(
        name=name,
        digital=_stack([trace.values for trace in fitted]),
        leads=tuple(trace.lead for trace in fitted),
        sampling_rate=rate,
        gain=tuple(trace.gain for trace in fitted),
        baseline=tuple(int(trace.baseline) for trace in fitted),
        comments=comments,
    )
    return Joined(record if about is None else replace(record, about=about), tuple(notes))


def refuse(
    thing: str, reason: str, *, value: object, expected: str, remedy: str = "Leave it out."
) -> NoReturn:
    """Raise the RecordError of a recording."""
    raise RecordError(
        f"recording {thing}", reason=reason, value=value, expected=expected, remedy=remedy
    )


def _whole_rate(rates: Sequence[float], thing: str, notes: list[str]) -> int:
    low, high = SAMPLING_RATES
    fastest = max(rates)
    if not all(low <= rate <= high for rate in (fastest, round(fastest))):
        value, expected = f"{fastest:g} samples per second", f"{low} to {high}"
        refuse(thing, "implausible_sampling_rate", value=value, expected=expected)
    if fastest != round(fastest):
        notes.append(f"Resampled from {fastest:.6g} to {round(fastest)} Hz.")
    return round(fastest)


def _check(trace: Trace, thing: str) -> None:
    (low, high), gain = GAINS_PER_MV, trace.gain
    if not low <= abs(gain) <= high or not abs(trace.baseline) <= _MAX_BASELINE:
        value = f"{gain:g} units per mV around {trace.baseline:g} in lead {trace.lead}"
        expected = f"{low:g} to {high:g} units per mV around a 32-bit integer"
        refuse(thing, "implausible_gain", value=value, expected=expected)
    if not 0 < len(trace.values) <= MAX_SAMPLES:
        reason: Reason = "too_many_samples" if len(trace.values) else "no_samples"
        value, expected = f"{len(trace.values)} samples", f"1 to {MAX_SAMPLES}"
        refuse(thing, reason, value=value, expected=expected)


def _at_rate(trace: Trace, rate: int, notes: list[str]) -> Trace:
    """Resample a trace and round it to its own steps; a sample is missing where the nearest was."""
    if trace.sampling_rate == rate:
        return trace
    # Half a second for scipy in each process, which few files need.
    from lamae.ecg.signals import interpolate_missing, resample

    if round(trace.sampling_rate) != rate:
        notes.append(f"{trace.lead} resampled from {trace.sampling_rate:g} to {rate} Hz.")
    missing = trace.is_missing()
    if missing.all():
        values, ratio = np.zeros(len(missing)), Fraction(rate) / Fraction(trace.sampling_rate)
    else:
        floats = np.where(missing, np.nan, trace.values)[None]
        values, ratio = interpolate_missing(floats)[0], Fraction(rate / trace.sampling_rate)
    ratio = ratio.limit_denominator(_FINEST_RATIO)
    if ratio != 1:
        steps = {"source_rate": ratio.denominator, "target_rate": ratio.numerator}
        values = resample(values, **steps)
    nearest = np.minimum((np.arange(len(values)) / float(ratio)).astype(np.int64), len(missing) - 1)
    limit = max(int(np.abs(trace.values.astype(np.int64)).max()), _LARGEST)
    digital = np.clip(np.rint(values), -limit, limit).astype(np.int64)
    return trace._replace(values=digital, missing=missing[nearest], sampling_rate=rate)


def _as_int16(trace: Trace, notes: list[str]) -> Trace:
    """Return a trace in 16 bits: as it is, shifted, or divided by a whole number."""
    whole = float(trace.baseline).is_integer()
    if trace.values.dtype.newbyteorder("=") == np.int16 and trace.missing is None and whole:
        return trace
    missing = trace.is_missing()
    known = trace.values[~missing].astype(np.int64)
    low, high = (int(known.min()), int(known.max())) if known.size else (0, 0)
    shift, divisor = 0, 1
    if not -_LARGEST <= low <= high <= _LARGEST:
        divisor = -(-(high - low) // (2 * _LARGEST - 2))  # a step at each end for rounding
        middle = (low + high) // 2
        shift = middle - (middle - round(trace.baseline)) % divisor  # 0 mV stays an integer
    elif not whole and max(-low, high) <= _LARGEST // 2:
        halves = trace.values.astype(np.int64) * 2  # 0 mV between two integers is one of halves
        doubled = trace._replace(values=halves, missing=missing)
        return _as_int16(
            doubled._replace(gain=2 * trace.gain, baseline=round(2 * trace.baseline)), notes
        )
    if divisor > 1:
        error_uv = 500 * divisor / abs(trace.gain)
        notes.append(
            f"{trace.lead} is in steps of {divisor} units, off by {error_uv:.2g} uV at most."
        )
    shifted = trace.values.astype(np.int64) - shift
    steps = np.rint(shifted / divisor) if divisor > 1 else shifted
    values = np.where(missing, MISSING, np.clip(steps, -_LARGEST, _LARGEST)).astype(np.int16)
    baseline = round((trace.baseline - shift) / divisor)
    return trace._replace(values=values, gain=trace.gain / divisor, baseline=baseline, missing=None)


def _stack(rows: list[np.ndarray]) -> np.ndarray:
    """Return (leads, samples); what a lead is shorter is missing, but for the rounding of rates."""
    lengths = {len(row) for row in rows}
    if len(lengths) > 1 and max(lengths) - min(lengths) > 1:
        longest = max(lengths)
        rows = [np.pad(row, (0, longest - len(row)), constant_values=MISSING) for row in rows]
    else:
        rows = [row[: min(lengths)] for row in rows]
    return np.stack(rows).astype(np.int16, copy=False)
