"""Patients, not recordings, are divided into splits."""

from collections.abc import Callable
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamae.errors import InputError
from lamae.storage.samples import SPLITS
from shards.entries import Listing, as_texts
from shards.settings import Split

_PATIENTS_NAMED = 5


def assign_splits(listing: Listing, split: Split) -> np.ndarray:
    """Return the split of each recording, the one that its table names first.

    It is int8 (recordings,): the place in SPLITS, or -1 for one that is left out.

    Raises InputError if the source has no folds but the splits do, or a patient is in two splits.
    """
    table = listing.table
    named = _mapped(SPLITS.index, table["split"])
    if split.by_fold:
        if (named < 0).all() and table["fold"].null_count == len(table):
            raise InputError(
                "split",
                value="folds, and the source has none",
                expected="shares of the patients",
                remedy="Set split.train, split.val and split.test to shares such as 0.8, 0.1, 0.1.",
            )
        given = _by_fold(table["fold"], split)
    else:
        given = _mapped(lambda patient: _by_share(patient, split), table["patient_id"])
    codes = np.where(named >= 0, named, given)
    if split.by_fold or (named >= 0).any():  # a hash of the patient cannot put him in two splits
        _refuse_shared_patients(table["patient_id"], codes)
    return codes


def empty_splits(listing: Listing, codes: np.ndarray, split: Split) -> list[str]:
    """Return a sentence for each split that should hold recordings and holds none, and why."""
    held = np.bincount(codes[codes >= 0], minlength=len(SPLITS))
    empty = [name for name, number in zip(SPLITS, held, strict=True) if not number]
    found = []
    for name in empty:
        wanted = getattr(split, name)
        if not wanted:
            continue
        if listing.table["split"].null_count < len(listing):
            why = "the table's column of splits names it nowhere"
        elif isinstance(wanted, tuple):
            why = f"no recording is of fold {', '.join(map(str, wanted))}"
        else:
            patients = listing.count_distinct("patient_id")
            why = f"{patients} patients are few for a share of {wanted:g}"
        found.append(f"split {name} is empty: {why}")
    return found


def _mapped(code: Callable[[str], int], column: pa.ChunkedArray) -> np.ndarray:
    """Return a code for each text of a column, -1 for a null: int8 (rows,)."""
    found = [np.zeros(0, dtype=np.int8)]
    for chunk in column.chunks:
        codes = np.fromiter((code(text.as_py()) for text in chunk.dictionary), dtype=np.int8)
        places = np.asarray(pc.fill_null(chunk.indices, len(codes)))
        found.append(np.append(codes, np.int8(-1))[places])
    return np.concatenate(found)


def _by_fold(folds: pa.ChunkedArray, split: Split) -> np.ndarray:
    known = np.asarray(pc.fill_null(folds, -1))
    codes = np.full(len(known), -1, dtype=np.int8)
    for code, name in enumerate(SPLITS):
        codes[np.isin(known, getattr(split, name))] = code
    return codes


def _by_share(patient_id: str, split: Split) -> int:
    """Draw a split from a hash of the patient: equal for all recordings, sources and runs."""
    key = split.seed.to_bytes(8, "little")
    digest = blake2b(patient_id.encode(), digest_size=8, key=key).digest()
    position, end = int.from_bytes(digest, "little") / 2**64, 0.0
    for code, name in enumerate(SPLITS):
        end += getattr(split, name)
        if position < end:
            return code
    # Shares that add up to 1 may miss it by a rounding error.
    return len(SPLITS) - 1 if end > 1 - 1e-9 and split.test else -1


def _refuse_shared_patients(patients: pa.ChunkedArray, codes: np.ndarray) -> None:
    chosen = pa.table({"patient": as_texts(patients), "code": codes}).filter(pc.field("code") >= 0)
    counted = chosen.group_by("patient", use_threads=False).aggregate([("code", "distinct")])
    shared = counted.filter(pc.list_value_length(pc.field("code_distinct")) > 1)
    if shared.num_rows:
        first = [
            f"{row['patient']} ({', '.join(sorted(SPLITS[code] for code in row['code_distinct']))})"
            for row in shared.slice(0, _PATIENTS_NAMED).to_pylist()
        ]
        more = ", ..." if shared.num_rows > _PATIENTS_NAMED else ""
        raise InputError(
            "patients in two splits",
            value=f"{shared.num_rows}: {'; '.join(first)}{more}",
            expected="all recordings of a patient in one split",
            remedy="Correct the folds or patients in the label table, or split by shares.",
        )
