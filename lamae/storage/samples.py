"""The shard sample: what the writer puts into a shard and every reader takes out of it.

A shard is a tar in WebDataset's convention. A sample is two members with one key: the recording's
own integers, int16 (leads, samples), as `<key>.npy` or compressed as `<key>.ecg`, and `<key>.json`,
all the rest.

Readers such as Hugging Face's datasets take the types of all samples from those of the first few.
A list that is empty there, a null, or a key that is missing would make them fail at a later sample,
or drop what it has without a word; so in `<key>.json` what can be empty is a text: JSON once more.
"""

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from isal import isal_zlib

from lamae.ecg.record import MISSING, Record
from lamae.errors import InputError
from lamae.storage.codec import decode_digital, encode_digital

SPLITS = ("train", "val", "test")

Codec = Literal["ecg", "npy"]
"""Form of stored signals: `ecg` by lamae/storage/codec.py, `npy` as numpy writes them."""

_TEXTS = ("about", "comments", "flags", "fold", "labels", "notes")
"""Fields that are null or empty in some samples, and are JSON texts in `<key>.json`."""

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
    about: Mapping[str, str] = field(default_factory=dict)
    """Other statements of the source: report, measurements, age."""
    source: str = ""
    """Path of the recording below the source folder."""
    source_sha256: str = ""
    """Checksum of the files that the recording was read from, one after the other."""
    origin: str = ""
    """`<dataset>/<record>` of its first publication; equal values are the same recording."""
    flags: tuple[str, ...] = ()
    """Findings of quality control."""
    notes: tuple[str, ...] = ()
    """Findings and changes, one sentence each."""

    def __post_init__(self) -> None:
        """Refuse a key or split that a shard cannot hold."""
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r}: a key has letters, digits, '_' and '-' only")
        if self.split not in SPLITS:
            raise ValueError(f"{self.key}: split {self.split!r} is none of {SPLITS}")


def sample_key(name: str) -> str:
    """Turn a record's name or path into a key that WebDataset does not cut at a dot."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


class EncodedSignal(NamedTuple):
    """The signal of a sample as it lies in a tar."""

    member: bytes
    """Content of the member."""
    stored: int
    """Bytes at the end of the member that a reader needs: all but a header of numpy's."""
    crc32: int
    """Checksum of these."""


def encode_signal(record: Record, codec: Codec) -> EncodedSignal:
    """Encode the samples of a recording."""
    digital = np.ascontiguousarray(record.digital.astype("<i2", copy=False))
    if codec == "ecg":
        member = encode_digital(digital, record.leads)
        return EncodedSignal(member, len(member), isal_zlib.crc32(member))
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, digital)
    return EncodedSignal(buffer.getvalue(), digital.nbytes, isal_zlib.crc32(digital))


def decode_signal(
    stored: bytes | memoryview,
    *,
    codec: str,
    leads: Sequence[str],
    samples: int,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the stored bytes of a signal as int16 (leads, samples).

    Args:
        stored: bytes as they lie in a tar, without numpy's header.
        codec: how they were encoded.
        leads: canonical names of the rows.
        samples: samples of a lead.
        out: what compressed signals are decompressed to; None for a new array. Others are never
            copied: what is returned is a view of `stored`.

    Raises InputError for bytes that the codec did not write for this shape.
    """
    if codec == "ecg":
        return decode_digital(stored, leads=leads, samples=samples, out=out)
    if len(stored) != 2 * len(leads) * samples:
        raise InputError(
            "stored signal",
            value=f"{len(stored)} bytes",
            expected=f"{2 * len(leads) * samples} for {len(leads)} leads of {samples} samples",
            remedy="It is damaged: copy or build its shard again.",
        )
    return np.frombuffer(stored, dtype="<i2").reshape(len(leads), samples)


def content_digest(record: Record) -> str:
    """Return a digest of leads, sampling rate and samples: equal for copies under other names."""
    about = f"{','.join(record.leads)} {record.sampling_rate} "
    digest = hashlib.sha256(about.encode())
    digest.update(np.ascontiguousarray(record.digital.astype("<i2", copy=False)).data)
    return digest.hexdigest()[:32]


def metadata(sample: Sample, codec: Codec) -> dict[str, Any]:
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
        "codec": codec,
        "missing_samples": int(np.count_nonzero(record.digital == MISSING)),
        "gain": [float(gain) for gain in record.gain],
        "baseline": [int(baseline) for baseline in record.baseline],
        "comments": list(record.comments),
        "labels": {name: None if v is None else list(v) for name, v in sample.labels.items()},
        "about": dict(sample.about),
        "source": sample.source,
        "source_sha256": sample.source_sha256,
        "origin": sample.origin,
        "content": content_digest(record),
        "flags": list(sample.flags),
        "notes": list(sample.notes),
    }


def encode_metadata(fields: Mapping[str, Any]) -> bytes:
    """Return the bytes of `<key>.json`."""
    texts = {name: json.dumps(fields[name], ensure_ascii=False, sort_keys=True) for name in _TEXTS}
    return json.dumps({**fields, **texts}, ensure_ascii=False, sort_keys=True).encode()


def decode_metadata(content: bytes) -> dict[str, Any]:
    """Return the fields that `encode_metadata` was given; raises InputError for other bytes."""
    try:
        fields = json.loads(content)
        return {**fields, **{name: json.loads(fields[name]) for name in _TEXTS}}
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise InputError(
            "metadata of a sample",
            value=f"{type(error).__name__}: {error}",
            expected="the JSON member of a shard of this version",
            remedy="It is damaged: copy or build its shard again.",
        ) from None


def decode_sample(fields: Mapping[str, Any], stored: bytes | memoryview) -> Sample:
    """Rebuild a sample from its row of the index and the stored bytes of its signal.

    Raises InputError where the bytes are not those that were written.
    """
    if (found := isal_zlib.crc32(stored)) != fields["crc32"]:
        raise InputError(
            f"sample {fields['key']}",
            value=f"checksum {found:08x}",
            expected=f"{fields['crc32']:08x}, as written",
            remedy="The shard is damaged: copy or build it again.",
        )
    record = Record(
        name=fields["name"],
        digital=decode_signal(
            stored, codec=fields["codec"], leads=fields["leads"], samples=fields["samples"]
        ),
        leads=tuple(fields["leads"]),
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
        about=dict(fields["about"]),
        source=fields["source"],
        source_sha256=fields["source_sha256"],
        origin=fields["origin"],
        flags=tuple(fields["flags"]),
        notes=tuple(fields["notes"]),
    )
