"""Identifiers replaced by keyed hashes, so that shards can be shared."""

import os
from dataclasses import replace
from hashlib import blake2b

from lamae.errors import InputError
from lamae.storage.samples import Sample
from shards.entries import Reject

KEY_VARIABLE = "LAMAE_ID_KEY"
"""Environment variable that holds the secret key; equal keys give equal hashes."""
_SHORTEST_KEY, _LONGEST_KEY = 16, 64


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
