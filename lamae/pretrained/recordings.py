"""A recording of a user, and the facts that a user states of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from lamae.ecg.leads import LEADS
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.readers.any_file import read_file
from lamae.readers.arrays.array_layout import ArrayLayout
from lamae.readers.read_options import ReadOptions


class Recording(NamedTuple):
    """A recording under the name that a user knows it by, or why it cannot be read."""

    name: str
    """Path, key, or place in a list."""
    patient: str | None
    """Patient, where the file or the shards state one."""
    record: Record | None
    """The recording; None of one that cannot be read."""
    notes: tuple[str, ...] = ()
    """Sentences of its reader, and of the checks when shards were built."""
    error: InputError | None = None
    """Reason why it cannot be read."""


class How(NamedTuple):
    """Facts that a user states of recordings, before all that files say."""

    sampling_rate: float | None = None
    """Samples per second of arrays."""
    leads: Sequence[str] | None = None
    """Leads of the rows of arrays; by default the twelve, or the columns of a data frame."""
    unit: str | None = None
    """mV, uV or V; by default that of the file, and mV of arrays."""
    leads_as: Mapping[str, str] | None = None
    """Standard leads by other names."""
    splits: Sequence[str] | None = None
    """Splits of shards; by default all."""

    @property
    def options(self) -> ReadOptions:
        """The same for files."""
        try:
            arrays = ArrayLayout.model_validate(
                {"sampling_rate": self.sampling_rate, "leads": tuple(self.leads or LEADS)}
            )
        except ValidationError as error:
            problem = error.errors()[0]
            raise InputError(
                ".".join(map(str, problem["loc"])),
                value=problem["input"],
                expected=problem["msg"],
                remedy="Correct it.",
            ) from None
        return ReadOptions(self.leads_as, self.unit, arrays=arrays)


def read_path(path: Path, how: How, *, name: str | None = None) -> Recording:
    """Read a file; one that cannot be read has its reason."""
    name = str(path) if name is None else name
    try:
        reading = read_file(path, how.options)
    except InputError as error:
        return Recording(name, None, None, error=error)
    record = reading.record
    return Recording(name, record.about.patient_id, record, reading.notes)


def single_record(recording: Recording) -> Record:
    """Return the record of a recording; raises InputError for one that cannot be read."""
    if recording.error is not None:
        raise recording.error
    assert recording.record is not None, "it has one or the other"
    return recording.record
