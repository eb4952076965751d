"""The shard sample: what the writer puts into a shard and every reader takes out of it.

A shard is an uncompressed tar in WebDataset's convention. A sample is two members with one key:
`<key>.npy`, the recording's own integers, int16 (leads, samples), and `<key>.json`, all the rest.
"""

import io
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lamae.errors import InputError
from lamae.record import Record

SPLITS = ("train", "val", "test")

_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Sample:
    """One recording with who it is from, what it shows, and which split it belongs to."""

    key: str
    """Unique in a corpus; letters, digits, `_` and `-`, since a dot would end a WebDataset key."""
    record: Record
    """The recording, its leads in canonical order."""
    patient_id: str
    """Recordings with the same value are never in two splits."""
    split: str
    """One of `SPLITS`."""
    fold: int | None = None
    """Cross-validation fold published with the source, where it has one."""
    labels: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    """For each label set its classes; an empty tuple has none of them, None is unlabelled."""
    source: str = ""
    """Path of the recording below the source folder."""

    def __post_init__(self) -> None:
        """Refuse a key or split that a shard cannot hold."""
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r}: a key has letters, digits, '_' and '-' only")
        if self.split not in SPLITS:
            raise ValueError(f"{self.key}: split {self.split!r} is none of {SPLITS}")


def sample_key(name: str) -> str:
    """Turn a record's name or path into a key that WebDataset does not cut at a dot."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def encode_signal(record: Record) -> bytes:
    """Return the bytes of `<key>.npy`; they end with the raw samples, little-endian."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(record.digital.astype("<i2")))
    return buffer.getvalue()


def signal_crc32(record: Record) -> int:
    """Return the checksum that the index holds for the raw samples."""
    return zlib.crc32(record.digital.astype("<i2").tobytes())


def metadata(sample: Sample) -> dict[str, Any]:
    """Return all but the samples, in plain JSON types; also one row of the corpus index."""
    record = sample.record
    return {
        "key": sample.key,
        "name": record.name,
        "patient_id": sample.patient_id,
        "split": sample.split,
        "fold": sample.fold,
        "leads": list(record.leads),
        "samples": record.digital.shape[1],
        "sampling_rate": record.sampling_rate,
        "gain": [float(gain) for gain in record.gain],
        "baseline": [int(baseline) for baseline in record.baseline],
        "comments": list(record.comments),
        "labels": {name: None if v is None else list(v) for name, v in sample.labels.items()},
        "source": sample.source,
    }


def encode_metadata(sample: Sample) -> bytes:
    """Return the bytes of `<key>.json`."""
    return json.dumps(metadata(sample), ensure_ascii=False, sort_keys=True).encode()


def decode_sample(fields: Mapping[str, Any], raw: bytes | memoryview, *, crc32: int) -> Sample:
    """Rebuild a sample from its metadata and raw samples.

    Raises InputError where the samples are not those that were written.
    """
    if zlib.crc32(raw) != crc32:
        raise InputError(
            f"sample {fields['key']}",
            value=f"checksum {zlib.crc32(raw):08x}",
            expected=f"{crc32:08x}, as written",
            remedy="The shard is damaged: copy or build it again.",
        )
    leads = tuple(fields["leads"])
    record = Record(
        name=fields["name"],
        digital=np.frombuffer(raw, dtype="<i2").reshape(len(leads), -1),
        leads=leads,
        sampling_rate=int(fields["sampling_rate"]),
        gain=tuple(fields["gain"]),
        baseline=tuple(fields["baseline"]),
        comments=tuple(fields["comments"]),
    )
    labels = {k: None if v is None else tuple(v) for k, v in dict(fields["labels"]).items()}
    return Sample(
        key=fields["key"],
        record=record,
        patient_id=fields["patient_id"],
        split=fields["split"],
        fold=fields["fold"],
        labels=labels,
        source=fields["source"],
    )
