"""Millivolts become integers: exactly where they were integers before, else as finely as fits."""

from typing import Literal, NamedTuple, NoReturn, get_args

import numpy as np

from lamae.ecg.record import MISSING
from lamae.errors import RecordError

Reason = Literal["infinite_samples", "implausible_amplitude"]
REASONS: tuple[str, ...] = get_args(Reason)
"""Every reason that a RecordError of `quantise` can have."""

LARGEST_MV = 1e6
"""Largest amplitude that is read: microvolts that are taken for millivolts stay far below."""
FINEST_GAIN = 1e6
"""Integer units per millivolt that are never exceeded: steps of a nanovolt."""

_LARGEST = 2**15 - 1  # -2**15 is MISSING
_MOST_STEPS = 2 * _LARGEST
_EXACT_IN_FLOAT32 = 2**23  # integers up to here, and their differences, are exact
_ROUNDING = 2.0**-24  # of a number to the nearest float32, as a share of it
_TOLERANCE = 4 * _ROUNDING  # of the largest value: what arithmetic in float32 has left of it
_SEARCHED = 1024  # samples of each lead that are searched for a step; it is tried on all of them
_DIGITS = range(7)
_ZERO_GAIN = 1000.0


class Quantised(NamedTuple):
    """A signal as integers."""

    digital: np.ndarray
    """int16 (leads, samples); `MISSING` where the value was NaN."""
    gain: tuple[float, ...]
    """Integer units per millivolt, for each lead."""
    baseline: tuple[int, ...]
    """The integer at 0 mV, for each lead."""
    largest_error_mv: float
    """Largest difference between a value and what the integers give back as float32."""
    lossless: bool
    """True where all values were multiples of a step, up to the rounding of float32."""


class _Lead(NamedTuple):
    digital: np.ndarray
    gain: float
    baseline: int


def quantise(signal_mv: np.ndarray, *, name: str = "signal") -> Quantised:
    """Turn floats (leads, samples) in millivolts into 16-bit integers.

    Where all values are multiples of one step for the recording, or one for each lead, the
    integers count steps, and `Record.signal_mv` returns the values to the rounding of float32: bit
    for bit if they are quotients of integers without a common divisor and a gain that float32 can
    hold. Other leads get the finest gain with which they fit. `name` is for errors; raises
    RecordError with one of `REASONS`.
    """
    with np.errstate(invalid="ignore"):  # some NaN signal when they are converted
        signal = signal_mv.astype(np.float64)
    _check(signal, name)
    shared = _find_gains(signal[:, :_SEARCHED])
    leads, lossless = [], True
    for values in signal:
        lead = _count_steps(values, shared) or _count_steps(values, _find_gains(values[:_SEARCHED]))
        lossless &= lead is not None
        leads.append(lead or _scale(values))
    errors = [np.abs(_decode(lead) - values) for lead, values in zip(leads, signal, strict=True)]
    digital = np.stack([lead.digital for lead in leads]) if leads else np.empty(signal.shape, "i2")
    return Quantised(
        np.where(np.isnan(signal), MISSING, digital).astype(np.int16),
        gain=tuple(lead.gain for lead in leads),
        baseline=tuple(lead.baseline for lead in leads),
        largest_error_mv=max((float(np.nanmax(e)) for e in errors if not _empty(e)), default=0.0),
        lossless=lossless,
    )


def _check(signal: np.ndarray, name: str) -> None:
    if np.isinf(signal).any():
        _refuse(name, "infinite_samples", "infinite values", "finite ones, or NaN where missing")
    largest = float(np.nanmax(np.abs(signal))) if not _empty(signal) else 0.0
    if largest > LARGEST_MV:
        expected = f"at most {LARGEST_MV:g} mV"
        _refuse(name, "implausible_amplitude", f"values of {largest:g} mV", expected)


def _refuse(name: str, reason: Reason, value: str, expected: str) -> NoReturn:
    remedy = "Check the unit and gain of the file, or leave it out."
    raise RecordError(
        f"recording {name}", reason=reason, value=value, expected=expected, remedy=remedy
    )


def _empty(values: np.ndarray) -> bool:
    return bool(np.isnan(values).all())  # of no values as well


def _decode(lead: _Lead) -> np.ndarray:
    """Return what `Record.signal_mv` does."""
    steps = lead.digital.astype(np.float32) - np.float32(lead.baseline)
    return steps / np.float32(lead.gain)


def _find_gains(values: np.ndarray) -> list[float]:
    """Return gains of which the values may be integer multiples, the roundest number first."""
    known = np.unique(values[~np.isnan(values)].astype(np.float32)).astype(np.float64)
    sizes, neighbours = np.abs(known), np.diff(known)
    least = _TOLERANCE * sizes.max(initial=0.0)
    nearest = neighbours[neighbours > least].min(initial=np.inf)
    if not least:
        return [_ZERO_GAIN]
    if known[-1] - known[0] > _MOST_STEPS * nearest * 1.01:
        return []
    # Lengths between neighbours give the step, those from one end multiples that grow gradually.
    lengths = np.concatenate([sizes, neighbours, known[1:] - known[:1]])
    blur = _ROUNDING * np.concatenate([sizes, sizes[1:] + sizes[:-1], sizes[1:] + sizes[:1]])
    step = _common_step(lengths[lengths > least], blur[lengths > least])
    if step is None or step < 1 / FINEST_GAIN:
        return []
    rounded = [round(1 / step, digits) for digits in _DIGITS]
    inverted = [1 / round(step, digits) for digits in _DIGITS if round(step, digits)]
    return [gain for gain in [*rounded, *inverted, 1 / step] if 0 < gain <= FINEST_GAIN]


def _common_step(lengths: np.ndarray, blur: np.ndarray) -> float | None:
    """Return the greatest length of which all others are multiples, each wrong by its blur at most.

    This is Euclid's algorithm: what remains after whole steps is the next step.
    """
    step, error = _sharpest(lengths, blur, np.ones_like(lengths), lengths == lengths.min())
    while lengths.max() < _MOST_STEPS * step:
        steps = np.rint(lengths / step)
        wrong = steps * error + blur
        known = wrong < step / 4
        remainder = np.abs(lengths - steps * step)
        left = np.flatnonzero(known & (remainder > 2 * wrong))
        if left.size:
            least = left[remainder[left].argmin()]
            step, error = float(remainder[least]), float(wrong[least])
        elif known.all():
            return step
        else:
            sharper = _sharpest(lengths, blur, steps, known)
            if sharper.error >= error:
                return None
            step, error = sharper
    return None


class _Step(NamedTuple):
    length: float
    error: float


def _sharpest(lengths: np.ndarray, blur: np.ndarray, steps: np.ndarray, known: np.ndarray) -> _Step:
    """Return the step that one of the `known` lengths of so many steps gives most exactly."""
    errors = np.where(known, blur / np.maximum(steps, 1), np.inf)
    best = errors.argmin()
    return _Step(float(lengths[best] / max(steps[best], 1)), float(errors[best]))


def _count_steps(values: np.ndarray, gains: list[float]) -> _Lead | None:
    """Return the integers with the gain that gives the values back, if one of `gains` does."""
    known = ~np.isnan(values)
    target = values[known].astype(np.float32)
    least = np.abs(target).max(initial=0.0) * _TOLERANCE
    best = None
    for gain in gains:
        steps = np.rint(values * gain)
        low, high = _range(steps)
        if high - low > _MOST_STEPS or max(-low, high) > _EXACT_IN_FLOAT32:
            continue
        fits = -low <= _LARGEST and high <= _LARGEST
        baseline = 0 if fits else -int(low + high) // 2
        lead = _Lead(_integers(steps + baseline), gain, baseline)
        error = float(np.abs(_decode(lead)[known] - target).max(initial=0.0))
        if error < least or (best is None and error == least):
            best, least = lead, error
        if not error:
            break
    return best


def _scale(values: np.ndarray) -> _Lead:
    """Return the integers with the finest gain for the range of the values."""
    low, high = _range(values)
    gain = FINEST_GAIN
    if high > low:
        gain = min(gain, (_MOST_STEPS - 2) / (high - low))  # both ends may round outwards
    if low or high:
        gain = min(gain, _EXACT_IN_FLOAT32 / max(abs(low), abs(high)))
    baseline = -round((low + high) / 2 * gain)
    return _Lead(_integers(np.rint(values * gain) + baseline), gain, baseline)


def _range(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest value that is not missing."""
    return (0.0, 0.0) if _empty(values) else (float(np.nanmin(values)), float(np.nanmax(values)))


def _integers(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=0.0).astype(np.int16)
