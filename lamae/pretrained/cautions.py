"""Reasons to be careful with the answer for a recording, a sentence each."""

from collections.abc import Iterator, Sequence

import numpy as np

from lamae.ecg.amplitude import ORDINARY_MV, doubt_of_unit, median_amplitude_mv
from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.ecg.record import MISSING, Record
from lamae.errors import RecordError
from lamae.pretrained.recordings import Recording
from lamae.quality.levels import measure, named
from lamae.quality.missing_leads import keep_leads
from lamae.release.distribution import UNLIKE_PERCENT


def without_flat_leads(record: Record) -> Record:
    """Return a recording without the leads that have a single value, which count as missing.

    Shards are built so by default. Raises RecordError where no lead has two values.
    """
    moving = measure(record).moving
    if moving.all():
        return record
    if not moving.any():
        raise RecordError(
            f"recording {record.name}",
            reason="all_leads_flat",
            value="a single value in every lead",
            expected="a signal",
            remedy="Leave it out.",
        )
    return keep_leads(record, moving)


def cautions_of(
    recording: Recording, windows: Sequence[Prepared], preprocess: Preprocessor
) -> tuple[str, ...]:
    """Return the cautions of a recording that was prepared."""
    record = recording.record
    assert record is not None, "it was prepared"
    samples, rate = record.digital.shape[1], record.sampling_rate
    return (
        *_of_samples(record),
        *of_leads(preprocess.leads, windows[0].present),
        *of_length(samples, rate, preprocess, windows=len(windows)),
        *_of_amplitude(record),
        *recording.notes,
    )


def of_leads(leads: Sequence[str], present: np.ndarray) -> Iterator[str]:
    """Name the leads of a model, of which bool (leads,) are present, that are not."""
    missing = [lead for lead, has in zip(leads, present, strict=True) if not has]
    if missing:
        yield f"leads missing: {', '.join(missing)}"


def of_length(
    samples: int, sampling_rate: int, preprocess: Preprocessor, *, windows: int
) -> Iterator[str]:
    """Say that a recording is longer or shorter than a window, or sampled more slowly."""
    seconds, wanted = samples / sampling_rate, preprocess.duration_s
    if windows > 1:
        yield f"{seconds:g} s: the mean of {windows} windows of {wanted:g} s"
    elif samples * preprocess.sampling_rate < preprocess.samples * sampling_rate:
        yield f"{seconds:g} s: padded to {wanted:g} s"
    if sampling_rate < preprocess.sampling_rate:
        yield f"recorded at {sampling_rate} Hz, read at {preprocess.sampling_rate} Hz"


def of_flags(flags: Sequence[str]) -> Iterator[str]:
    """Name what quality control found when shards were built; missing leads are said elsewhere."""
    told = [flag for flag in flags if flag != "missing_leads"]
    if told:
        yield f"quality: {', '.join(told)}"


def of_percentile(percentile: float | None) -> Iterator[str]:
    """Say that a recording is unlike those that a model learnt from."""
    if percentile is not None and percentile >= UNLIKE_PERCENT:
        yield f"unlike training: further off than {percentile:.1f} % of the recordings there"


def _of_samples(record: Record) -> Iterator[str]:
    flat = ~measure(record).moving
    if flat.any():
        yield f"flat and taken for missing: {named(record, flat)}"
    share = float((record.digital == MISSING).mean())
    if share:
        yield f"{share:.1%} of the samples are missing, and were filled by lines"


def _of_amplitude(record: Record) -> Iterator[str]:
    amplitude_mv = median_amplitude_mv(record)
    low, high = ORDINARY_MV
    if np.isnan(amplitude_mv) or low <= amplitude_mv <= high:
        return
    doubt = doubt_of_unit(amplitude_mv) or f"is none of {low:g} to {high:g} mV: check the unit"
    yield f"unit doubtful: a median amplitude of {amplitude_mv:.3g} mV {doubt}"
