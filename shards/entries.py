"""The listing of a source: recordings to read, and rejects."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

BUILDING = ".building"
"""Folder of an unfinished build in its output."""

Reader = Literal["wfdb", "icbeb", "npy", "csv", "code15", "hdf5", "by_content"]
"""Readers of an entry's file: shards/build/read.py has a function for each."""


class Entry(NamedTuple):
    """One recording of a source, not read yet."""

    key: str
    """Key of its sample, unique in the corpus."""
    path: str
    """Path below the source folder; of a WFDB record without extension."""
    patient_id: str
    """Patient; the recording itself where the source does not say."""
    fold: int | None
    """Cross-validation fold that the source publishes, where it has one."""
    labels: Mapping[str, tuple[str, ...] | None]
    """For each label set its classes; None is unlabelled."""
    split: str | None = None
    """Split that the user's table names; None leaves it to the settings."""
    about: Mapping[str, str] = {}
    """Other facts of the source's tables: report, measurements, likelihoods."""
    origin: str = ""
    """`<dataset>/<record>` of the first publication, where the source is a copy of it or it."""
    reader: Reader = "wfdb"
    """Reader of the file."""
    item: int | None = None
    """Place in a file that holds many recordings."""

    @property
    def name(self) -> str:
        """Name in rejects and samples: its path, and its place in the file."""
        return self.path if self.item is None else f"{self.path}#{self.item}"


class Reject(NamedTuple):
    """Something of the source that is not in the shards, and why."""

    name: str
    """Path of the recording below the source folder."""
    reason: str
    """Name under which it is counted."""
    message: str
    """Fault, for a person."""


class Listing(NamedTuple):
    """All of a source."""

    entries: list[Entry]
    """Recordings, in the order in which they are written."""
    rejects: list[Reject]
    """Files and rows refused without reading a recording."""
    without_label_row: int
    """Recordings that the label table does not name; kept, unlabelled."""
    without_patient: int = 0
    """Recordings whose patient nothing names: each counts as its own."""
    found: tuple[str, ...] = ()
    """Sentences for a person: how the tables of the source were read."""
    doubts: tuple[str, ...] = ()
    """Sentences for a person: what should be looked at."""
