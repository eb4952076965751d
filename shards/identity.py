"""Identity: names never go into shards, and ids may be replaced by keyed hashes to share them."""

import os
import re
from dataclasses import replace
from hashlib import blake2b

from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.storage.samples import Sample
from shards.entries import Reject

KEY_VARIABLE = "LAMAE_ID_KEY"
"""Environment variable that holds the secret key; equal keys give equal hashes."""
_SHORTEST_KEY, _LONGEST_KEY = 16, 64

_CLINICAL = frozenset(
    {
        "age", "sex", "gender", "height", "weight", "bmi", "smoker", "pacemaker",
        "dx", "rx", "hx", "sx", "diagnosis", "diagnoses", "diagnose", "medication", "medications",
        "rhythm", "reason for admission", "additional diagnoses", "infarction date",
        "acute infarction localization", "former infarction localization", "subject_id",
    }
)  # fmt: skip
"""Facts `<key>: <value>` in the comments of a header that are kept; others may name a person."""


def key_from_environment() -> bytes:
    """Return the secret key; raises InputError where it is missing or too short."""
    key = os.environ.get(KEY_VARIABLE, "").encode()
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise InputError(
            f"environment variable {KEY_VARIABLE}",
            value=f"{len(key)} bytes",
            expected=f"a secret of {_SHORTEST_KEY} to {_LONGEST_KEY} bytes for hash_ids=true",
            remedy=f"Set it, e.g. export {KEY_VARIABLE}=$(openssl rand -hex 16), and keep it.",
        )
    return key


def hashed(identifier: str, key: bytes) -> str:
    """Return 128 bits of a keyed BLAKE2b hash (RFC 7693), in hexadecimal."""
    return blake2b(identifier.encode(), key=key, digest_size=16).hexdigest()


def clinical_comments(record: Record) -> tuple[Record, tuple[str, ...]]:
    """Keep the comments of a header that state a clinical fact; a note says how many went.

    A comment that is free text, or of another key, may name the patient or the physician.
    """
    kept = tuple(comment for comment in record.comments if _is_clinical(comment))
    if kept == record.comments:
        return record, ()
    number = len(record.comments) - len(kept)
    note = f"{number} comments of the header were left out, since they may name a person."
    return replace(record, comments=kept), (note,)


def _is_clinical(comment: str) -> bool:
    key, colon, _ = comment.partition(":")
    plain = " ".join(re.sub(r"[<>()]", " ", key).split()).casefold()
    return not comment.strip() or (bool(colon) and plain in _CLINICAL)


def without_identity(sample: Sample, key: bytes) -> Sample:
    """Hash the ids of a sample, and leave out the texts that may name or describe the patient."""
    name = hashed(sample.key, key)
    return replace(
        sample,
        key=name,
        record=replace(sample.record, name=name, comments=()),
        patient_id=hashed(sample.patient_id, key),
        about={},
        source="",
        source_sha256="",
        origin="",
        notes=(),
    )


def reject_without_identity(reject: Reject, key: bytes) -> Reject:
    """Hash the name of a reject and drop its message, which holds paths."""
    return Reject(hashed(reject.name, key), reject.reason, "")
