"""Recordings of all that a user may have: files, folders, shards, records, arrays, data frames."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.pretrained.folders import recordings_in
from lamae.pretrained.recordings import How, Recording, read_path
from lamae.readers.record_from import record_from


class Recordings(NamedTuple):
    """Recordings that are read as they are asked for."""

    recordings: Iterable[Recording]
    """In their order."""
    is_single: bool
    """True for one that is no list, folder or shards."""


def recordings_of(x: Any, **how: Any) -> Recordings:
    """Return the recordings that a user gives.

    Args:
        x: a path of a file, a folder or shards, a Record, an array or data frame, or a list.
        how: the fields of `How`.

    Raises InputError for anything else; one that cannot be read has its reason in its place.
    """
    stated = How(**how)
    if isinstance(x, str | Path):
        path = Path(x).expanduser()
        if path.is_dir():
            return Recordings(recordings_in(path, stated), is_single=False)
        return Recordings([read_path(path, stated)], is_single=True)
    if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.ndim == 3):
        parts = (_named(recordings_of(one, **how), number) for number, one in enumerate(x))
        return Recordings(chain.from_iterable(parts), is_single=False)
    return Recordings([_in_memory(x, stated)], is_single=True)


def _in_memory(x: Any, how: How) -> Recording:
    if isinstance(x, Record):
        return Recording(x.name, x.about.patient_id, x)
    if not hasattr(x, "shape"):
        raise InputError(
            "recording",
            value=type(x).__name__,
            expected="a path, a Record, an array, a data frame, or a list of these",
            remedy="Give one of them.",
        )
    if how.sampling_rate is None:
        raise InputError(
            "sampling_rate",
            value="not given, and an array does not hold it",
            expected="samples per second",
            remedy="Give sampling_rate=500, or whatever it is.",
        )
    record = record_from(
        x,
        sampling_rate=how.sampling_rate,
        leads=how.leads,
        unit=how.unit or "mV",
        leads_as=how.leads_as,
    )
    return Recording(record.name, None, record)


def _named(found: Recordings, number: int) -> Iterable[Recording]:
    """Name those by their place in a list that have no name of their own."""
    for recording in found.recordings:
        unnamed = recording.name == "signal"
        yield recording._replace(name=f"{number}") if unnamed else recording
