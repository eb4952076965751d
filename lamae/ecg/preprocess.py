"""The preprocessor: from a recording to the array a model reads.

It is saved with the weights, and shards, training and prediction call this one class.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from lamae.config import Settings
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS, canonical_lead, select_leads
from lamae.ecg.record import Record
from lamae.ecg.signals import bandpass, crop_or_pad, interpolate_missing, resample
from lamae.ecg.windows import covering_windows
from lamae.errors import RecordError

SMALLEST_SCALE_MV = 1e-4
"""A signal with a smaller deviation is flat, and is not scaled."""

_LEAD_SETS = {"12": LEADS, "8": INDEPENDENT_LEADS}


def _lead_names(value: object) -> tuple[str, ...]:
    if str(value) in _LEAD_SETS:
        return _LEAD_SETS[str(value)]
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected 8, 12 or a list of lead names, e.g. [{', '.join(LEADS[:3])}]")
    return tuple(canonical_lead(str(name)) for name in value)


class Prepared(NamedTuple):
    """One recording as the preprocessor leaves it."""

    signal: np.ndarray
    """float32 (leads, samples) in the preprocessor's lead order; zeros in an absent lead."""
    present: np.ndarray
    """bool (leads,): the recording has the lead, or two limb leads that give it."""
    offset_mv: np.ndarray
    """float32 (leads,): signal * scale_mv + offset_mv is in millivolts."""
    scale_mv: np.ndarray
    """float32 (leads,)."""
    samples: int
    """Recorded samples of each lead in the window; zeros stand behind them."""

    def millivolts(self, signal: np.ndarray) -> np.ndarray:
        """Undo the normalisation of an array shaped like `signal`."""
        return signal * self.scale_mv[:, None] + self.offset_mv[:, None]


class Preprocessor(Settings):
    """Missing samples, leads, sampling rate, band, window and normalisation, in this order."""

    renamed: ClassVar = {"largest_missing_share": "max_missing_share"}
    leads: Annotated[tuple[str, ...], BeforeValidator(_lead_names)] = LEADS
    """Leads in the order a model sees them: 12, 8 (the independent ones) or a list of names."""
    sampling_rate: int = Field(250, ge=50, le=2000)
    """Samples per second after resampling."""
    duration_s: float = Field(10.0, gt=0, le=3600)
    """Seconds that a model sees: a window of a longer recording, zeros behind a shorter one."""
    band_hz: tuple[float, float] | None = (0.67, 40.0)
    """Pass band of the zero-phase filter in Hz; null for none. Default: ST-MEM's."""
    normalisation: Literal["record", "lead", "none"] = "record"
    """z-score over all leads together, over each lead, or millivolts as they are."""
    missing: Literal["interpolate", "reject"] = "interpolate"
    """NaN samples become a line between their neighbours, or the recording is refused."""
    max_missing_share: float = Field(0.2, ge=0, lt=1)
    """A lead with a larger share of NaN samples counts as absent."""

    @model_validator(mode="after")
    def _consistent(self) -> "Preprocessor":
        if not self.leads or len(set(self.leads)) != len(self.leads):
            raise ValueError("leads must be named once each, and at least one")
        if self.band_hz and not 0 < self.band_hz[0] < self.band_hz[1] < self.sampling_rate / 2:
            raise ValueError(
                f"band_hz {self.band_hz} must rise and end below half the sampling rate, "
                f"{self.sampling_rate / 2} Hz"
            )
        return self

    @property
    def samples(self) -> int:
        """Samples per lead that a model sees."""
        return round(self.duration_s * self.sampling_rate)

    def __call__(self, record: Record, start: int = 0) -> Prepared:
        """Prepare the window of a recording that begins at `start`, in samples after resampling.

        All of the recording is filtered, and the window alone is normalised. A window that would
        reach beyond the recording is moved into it; one of a short recording begins at 0.
        Raises RecordError if there is none of the leads or too many samples are missing.
        """
        (prepared,) = self.cut(record, [start])
        return prepared

    def cut(self, record: Record, starts: Iterable[int]) -> list[Prepared]:
        """Prepare several windows of a recording, which is filtered once; as each by itself."""
        signal, present = self.select(record)
        signal = self.filter(signal, sampling_rate=record.sampling_rate)
        return [self._window(signal, present, start) for start in starts]

    def cover(self, record: Record) -> list[Prepared]:
        """Prepare the fewest windows that cover a recording, evenly laid over it."""
        samples, rate = np.array([record.digital.shape[1]]), np.array([record.sampling_rate])
        lengths = self.lengths(samples, rate)
        windows = covering_windows(np.arange(1), lengths, window=self.samples)
        return self.cut(record, windows.starts.tolist())

    def _window(self, signal: np.ndarray, present: np.ndarray, start: int) -> Prepared:
        start = max(min(start, signal.shape[1] - self.samples), 0)
        signal = signal[:, start : start + self.samples]
        offset_mv, scale_mv = self._statistics(signal, present)
        normalised = (signal - offset_mv[:, None]) / scale_mv[:, None]
        normalised[~present] = 0.0
        whole = crop_or_pad(normalised, self.samples)
        return Prepared(whole, present, offset_mv, scale_mv, samples=signal.shape[1])

    def require_leads(
        self, record: Record, window: Prepared, least: int, *, remedy: str | None = None
    ) -> None:
        """Raise RecordError for a recording that has fewer than `least` of the leads."""
        if (has := int(window.present.sum())) >= least:
            return
        missing = [
            lead for lead, there in zip(self.leads, window.present, strict=True) if not there
        ]
        raise RecordError(
            f"recording {record.name}",
            reason="missing_leads",
            value=f"no {', '.join(missing)}",
            expected=f"at least {least} of the leads {', '.join(self.leads)}",
            remedy=remedy or f"Give min_leads={has} to answer all the same, with a caution.",
        )

    def select(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        """Return the wanted leads in mV without gaps, at the recording's own rate, and `present`.

        Raises RecordError if there is none of them or too many samples are missing.
        """
        signal, leads = self._recorded(record)
        signal = interpolate_missing(signal)
        selected, present = select_leads(self.leads, signal, leads)
        if not present.any():
            raise RecordError(
                f"recording {record.name}",
                reason="no_usable_lead",
                value=f"leads {', '.join(leads) or 'none'}",
                expected=f"at least one of {', '.join(self.leads)}",
                remedy="Leave it out, or name its leads in preprocess.leads.",
            )
        return selected, present

    def filter(self, signal: np.ndarray, *, sampling_rate: int) -> np.ndarray:
        """Resample (..., samples) from `sampling_rate`, and keep the band."""
        signal = resample(signal, source_rate=sampling_rate, target_rate=self.sampling_rate)
        if self.band_hz:
            low_hz, high_hz = self.band_hz
            signal = bandpass(
                signal, sampling_rate=self.sampling_rate, low_hz=low_hz, high_hz=high_hz
            )
        return signal

    def lengths(self, samples: np.ndarray, sampling_rate: np.ndarray) -> np.ndarray:
        """Return how many samples `filter` makes of recordings of such lengths and rates."""
        return -(-samples * self.sampling_rate // sampling_rate)

    def _recorded(self, record: Record) -> tuple[np.ndarray, list[str]]:
        """Return the leads that were recorded: one that is mostly missing counts as absent."""
        signal = record.signal_mv()
        missing = np.isnan(signal)
        shares = missing.mean(axis=1)
        kept = shares <= self.max_missing_share
        if not kept.any() or (self.missing == "reject" and missing.any()):
            allowed = self.max_missing_share if self.missing == "interpolate" else 0.0
            raise RecordError(
                f"recording {record.name}",
                reason="missing_samples",
                value=f"{missing.mean():.1%} of its samples are missing",
                expected=f"a lead with at most {allowed:.1%}",
                remedy="Leave it out, or change missing / max_missing_share.",
            )
        return signal[kept], [lead for lead, keep in zip(record.leads, kept, strict=True) if keep]

    def _statistics(self, signal: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        leads = len(self.leads)
        offset = np.zeros(leads, dtype=np.float32)
        scale = np.ones(leads, dtype=np.float32)
        if self.normalisation == "record":
            offset[:] = signal[present].mean()
            scale[:] = signal[present].std()
        elif self.normalisation == "lead":
            offset, scale = signal.mean(axis=1), signal.std(axis=1)
        return offset, np.where(scale > SMALLEST_SCALE_MV, scale, 1.0).astype(np.float32)
