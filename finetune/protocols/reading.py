"""Preprocessing by the rules of a published protocol, on top of an encoder's own."""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field

from lamae.ecg.preprocess import SMALLEST_SCALE_MV, Prepared, Preprocessor
from lamae.ecg.record import Record
from lamae.ecg.signals import crop_or_pad, resample


class ProtocolPreprocessor(Preprocessor):
    """An encoder's preprocessor, with rules of a protocol in the place of some of its own."""

    first_s: float | None = Field(None, gt=0)
    """Seconds from the start that are kept; by default all."""
    through_rate: int | None = Field(None, ge=50)
    """Rate in Hz to which recordings are brought before the encoder's; by default none."""
    padding: Literal["masked", "seen"] = "masked"
    """Zeros (in mV) behind a short recording: hidden from the encoder, or seen by it."""
    scale: Literal["encoder", "min_max"] = "encoder"
    """min_max: a window, with the zeros behind it, from 0 at its lowest to 1 at its highest."""
    windows: Literal["all", "first"] = "all"
    """Average over windows that cover the recording, or the first alone."""

    def __call__(self, record: Record, start: int = 0) -> Prepared:
        """Prepare a window as `Preprocessor` does, by the rules of the protocol."""
        if self.first_s is not None:
            kept = round(self.first_s * record.sampling_rate)
            record = replace(record, digital=record.digital[:, :kept])
        prepared = super().__call__(record, start)
        if self.padding == "seen":
            prepared = self._with_padding(prepared)
        return self._min_max(prepared) if self.scale == "min_max" else prepared

    def filter(self, signal: np.ndarray, *, sampling_rate: int) -> np.ndarray:
        """Resample, by way of the protocol's rate where that is lower, and keep the band."""
        if self.through_rate is not None and self.through_rate < sampling_rate:
            signal = resample(signal, source_rate=sampling_rate, target_rate=self.through_rate)
            sampling_rate = self.through_rate
        return super().filter(signal, sampling_rate=sampling_rate)

    def lengths(self, samples: np.ndarray, sampling_rate: np.ndarray) -> np.ndarray:
        """Return how many samples there are to lay windows over."""
        if self.first_s is not None:
            kept = np.round(self.first_s * sampling_rate).astype(np.int64)
            samples = np.minimum(samples, kept)
        found = super().lengths(samples, sampling_rate)
        return np.minimum(found, self.samples) if self.windows == "first" else found

    def _with_padding(self, prepared: Prepared) -> Prepared:
        """Take the zeros behind a recording for signal, in the mean and deviation as well."""
        recorded = prepared.millivolts(prepared.signal)[:, : prepared.samples]
        millivolts = crop_or_pad(recorded, self.samples)
        offset_mv, scale_mv = self._statistics(millivolts, prepared.present)
        return self._scaled(millivolts, prepared, offset_mv, scale_mv, samples=self.samples)

    def _min_max(self, prepared: Prepared) -> Prepared:
        millivolts = prepared.millivolts(prepared.signal)
        seen = millivolts[prepared.present, : prepared.samples]
        lowest, highest = seen.min(), seen.max()
        height = highest - lowest if highest - lowest > SMALLEST_SCALE_MV else np.float32(1)
        leads = len(self.leads)
        offset_mv, scale_mv = np.full(leads, lowest), np.full(leads, height)
        return self._scaled(millivolts, prepared, offset_mv, scale_mv, samples=prepared.samples)

    def _scaled(
        self,
        millivolts: np.ndarray,
        prepared: Prepared,
        offset_mv: np.ndarray,
        scale_mv: np.ndarray,
        *,
        samples: int,
    ) -> Prepared:
        signal = (millivolts - offset_mv[:, None]) / scale_mv[:, None]
        signal[~prepared.present] = 0.0
        signal[:, samples:] = 0.0
        return Prepared(
            signal.astype(np.float32), prepared.present, offset_mv, scale_mv, samples=samples
        )
