"""A recording in a file of any readable format, which its first bytes tell, not its ending."""

from collections.abc import Mapping
from pathlib import Path

from lamae.ecg.record import Reading, Record
from lamae.readers.arrays.array_layout import ArrayLayout
from lamae.readers.formats import FORMATS, format_of
from lamae.readers.read_options import ReadOptions
from lamae.readers.record_from import warn_of_unit
from lamae.readers.regular_files import file_size
from lamae.readers.traces import refuse


def read_ecg(
    path: Path | str,
    *,
    leads_as: Mapping[str, str] | None = None,
    unit: str | None = None,
    sampling_rate: int | None = None,
) -> Record:
    """Read the standard leads of a recording in any of `lamae.readers.formats.FORMATS`.

    They are those that the file holds: of eight, a preprocessor computes the other limb leads, and
    `lamae.ecg.leads.select_leads` does for an array.
    An amplitude that fits another unit is a UserWarning. Raises RecordError for what cannot be
    read.

    Args:
        path: the file; of a WFDB record its header, with or without `.hea`, or a signal file.
        leads_as: standard leads by the names that the file gives to signals: `{"ECG1": "II"}`.
        unit: of the values, whatever the file says: mV, uV or V.
        sampling_rate: samples per second, for arrays, which do not hold it.
    """
    arrays = ArrayLayout(sampling_rate=sampling_rate)
    record = read_file(Path(path), ReadOptions(leads_as, unit, arrays=arrays)).record
    warn_of_unit(record)
    return record


def read_file(path: Path, options: ReadOptions) -> Reading:
    """Read a recording of any format; raises RecordError."""
    name = format_of(path, leads_as=options.leads_as)
    if name is None:
        size = file_size(path)
        found = "no such file" if size is None else f"{size} bytes of no known format"
        titles = ", ".join(form.title for form in FORMATS.values())
        refuse(str(path), "unknown_format", value=found, expected=f"one of {titles}")
    return FORMATS[name].read(path, options)
