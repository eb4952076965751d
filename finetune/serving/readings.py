"""The facts of a recording that was read: leads, rate, amplitude, gaps, limb leads, quality."""

import numpy as np

from finetune.serving.answers import ReadRecording, Residual
from lamae.ecg.amplitude import median_amplitude_mv
from lamae.ecg.record import MISSING, Reading
from lamae.quality.examine import REASONS, examine
from lamae.quality.levels import measure
from lamae.quality.limb_leads import measured_disagreement
from lamae.quality.settings import QualitySettings

_NAME_ALL = QualitySettings.model_validate({reason: {"policy": "flag"} for reason in REASONS})
"""Checks that change nothing."""


def describe(reading: Reading, title: str) -> ReadRecording:
    """Return the facts of a recording; `title` is that of its format."""
    record = reading.record
    amplitude_mv = median_amplitude_mv(record)
    limb = measured_disagreement(record, measure(record))
    shares = (record.digital == MISSING).mean(axis=1).tolist()
    return ReadRecording(
        name=record.name,
        format=title,
        leads=list(record.leads),
        dropped=list(reading.dropped),
        sampling_rate=record.sampling_rate,
        duration_s=record.duration_s,
        resolution_uv=max(1000 / abs(gain) for gain in record.gain),
        amplitude_mv=None if np.isnan(amplitude_mv) else amplitude_mv,
        missing={lead: x for lead, x in zip(record.leads, shares, strict=True) if x},
        einthoven=None if limb is None else Residual(**limb._asdict()),
        quality=list(examine(record, _NAME_ALL).notes),
        notes=list(reading.notes),
    )
