"""One recording is read, examined and encoded."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lamae.ecg.record import Record
from lamae.errors import RecordError
from lamae.quality.examine import examine
from lamae.storage.samples import (
    Codec,
    EncodedSignal,
    Sample,
    encode_metadata,
    encode_signal,
    metadata,
)
from shards.build.read import read_entry
from shards.build.resample_record import at_rate
from shards.entries import Entry, Reject
from shards.identity import clinical_comments, key_from_environment, without_identity
from shards.rejects import reject_of
from shards.settings import ShardsSettings


class EncodedSample(NamedTuple):
    """A sample as it goes into a shard."""

    fields: dict[str, Any]
    """Its row in the index, without its place."""
    signal: EncodedSignal
    """The member with the samples."""
    metadata: bytes
    """Content of `<key>.json`."""
    dropped: tuple[str, ...] = ()
    """Names of the recording's signals that are no standard lead."""


def process_entry(entry: Entry, split: str, settings: ShardsSettings) -> EncodedSample | Reject:
    """Read one recording; returns why, if it cannot be read or its quality is refused."""
    try:
        reading = read_entry(entry, settings)
        _refuse_short(reading.record, settings.min_duration_s)
        verdict = examine(reading.record, settings.quality)
    except RecordError as error:
        return reject_of(error, entry.name, settings.source)
    record, left_out = clinical_comments(verdict.record)
    sample = Sample(
        key=entry.key,
        record=at_rate(record, settings.sampling_rate),
        patient_id=entry.patient_id,
        split=split,
        fold=entry.fold,
        labels=entry.labels,
        about=entry.about,
        source=entry.name,
        source_sha256=_checksum(reading.files),
        origin=entry.origin,
        flags=verdict.flags,
        notes=(*reading.notes, *verdict.notes, *left_out),
    )
    if settings.hash_ids:
        sample = without_identity(sample, key_from_environment())
    return encode_sample(sample, settings.codec, dropped=reading.dropped)


def encode_sample(sample: Sample, codec: Codec, *, dropped: tuple[str, ...] = ()) -> EncodedSample:
    """Encode a sample for its shard."""
    fields = metadata(sample, codec)
    signal = encode_signal(sample.record, codec)
    return EncodedSample(fields, signal, encode_metadata(fields), dropped)


def _refuse_short(record: Record, min_duration_s: float) -> None:
    if record.duration_s < min_duration_s:
        raise RecordError(
            f"recording {record.name}",
            reason="too_short",
            value=f"{record.duration_s:g} s",
            expected=f"at least {min_duration_s:g} s",
            remedy="Leave it out, or lower min_duration_s.",
        )


def _checksum(files: Sequence[Path]) -> str:
    """Return the checksum of a recording's own files; empty where it shares one with others."""
    if not files:
        return ""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()
