"""A user's word on recordings, which goes before that of their files."""

from collections.abc import Mapping
from typing import NamedTuple

from lamae.readers.arrays.array_layout import ArrayLayout
from lamae.readers.wfdb.segment import Checksums


class ReadOptions(NamedTuple):
    """Settings of reading a file of any format."""

    leads_as: Mapping[str, str] | None = None
    """Standard leads by the names of signals, before all other names."""
    unit: str | None = None
    """Unit of the values, whatever the file says: mV, uV or V."""
    checksums: Checksums = "strict"
    """A checksum that differs refuses a recording, or is noted."""
    arrays: ArrayLayout = ArrayLayout()
    """Facts that .npy, .csv and HDF5 files do not state."""
