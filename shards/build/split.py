"""Patients, not recordings, are divided into splits."""

from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b

from lamae.errors import InputError
from lamae.storage.samples import SPLITS
from shards.entries import Entry
from shards.settings import Split

_PATIENTS_NAMED = 5


def assign_splits(entries: Sequence[Entry], split: Split) -> list[str | None]:
    """Return the split of each entry, the one that its table names first; None is left out.

    Raises InputError if the source has no folds but the splits do, or a patient is in two splits.
    """
    named = any(entry.split for entry in entries)
    if not split.by_fold and not named:  # a hash of the patient cannot put him in two splits
        return [_by_share(entry.patient_id, split) for entry in entries]
    if split.by_fold and not named and all(entry.fold is None for entry in entries):
        raise InputError(
            "split",
            value="folds, and the source has none",
            expected="shares of the patients",
            remedy="Set split.train, split.val and split.test to shares such as 0.8, 0.1, 0.1.",
        )
    splits = [entry.split or _by_setting(entry, split) for entry in entries]
    _refuse_shared_patients(entries, splits)
    return splits


def empty_splits(entries: Sequence[Entry], splits: Sequence[str | None], split: Split) -> list[str]:
    """Return a sentence for each split that should hold recordings and holds none, and why."""
    filled = set(splits)
    empty = [name for name in SPLITS if getattr(split, name) and name not in filled]
    patients = len({entry.patient_id for entry in entries})
    found = []
    for name in empty:
        wanted = getattr(split, name)
        if any(entry.split for entry in entries):
            why = "the table's column of splits names it nowhere"
        elif isinstance(wanted, tuple):
            why = f"no recording is of fold {', '.join(map(str, wanted))}"
        else:
            why = f"{patients} patients are few for a share of {wanted:g}"
        found.append(f"split {name} is empty: {why}")
    return found


def _by_setting(entry: Entry, split: Split) -> str | None:
    if not split.by_fold:
        return _by_share(entry.patient_id, split)
    return next((name for name in SPLITS if entry.fold in getattr(split, name)), None)


def _by_share(patient_id: str, split: Split) -> str | None:
    """Draw a split from a hash of the patient: equal for all recordings, sources and runs."""
    key = split.seed.to_bytes(8, "little")
    digest = blake2b(patient_id.encode(), digest_size=8, key=key).digest()
    position, end = int.from_bytes(digest, "little") / 2**64, 0.0
    for name in SPLITS:
        end += getattr(split, name)
        if position < end:
            return name
    # Shares that add up to 1 may miss it by a rounding error.
    return SPLITS[-1] if end > 1 - 1e-9 and split.test else None


def _refuse_shared_patients(entries: Sequence[Entry], splits: Sequence[str | None]) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for entry, name in zip(entries, splits, strict=True):
        if name is not None:
            found[entry.patient_id].add(name)
    shared = [f"{patient} ({', '.join(sorted(s))})" for patient, s in found.items() if len(s) > 1]
    if shared:
        more = ", ..." if len(shared) > _PATIENTS_NAMED else ""
        raise InputError(
            "patients in two splits",
            value=f"{len(shared)}: {'; '.join(shared[:_PATIENTS_NAMED])}{more}",
            expected="all recordings of a patient in one split",
            remedy="Correct the folds or patients in the label table, or split by shares.",
        )
