"""The formats of recordings: how each is told by its first bytes, and read."""

import importlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from lamae.ecg.record import Reading
from lamae.readers.arrays.array_files import names_leads, read_csv_signals, read_npy
from lamae.readers.arrays.array_layout import ArrayLayout
from lamae.readers.arrays.icbeb import read_icbeb
from lamae.readers.read_options import ReadOptions
from lamae.readers.regular_files import decoded, file_size, first_bytes
from lamae.readers.traces import refuse
from lamae.readers.wfdb.header import is_header
from lamae.readers.wfdb.record_files import read_wfdb_signals
from lamae.readers.wfdb.segment import header_path

FIRST_BYTES = 2**13
"""Bytes of a file that tell its format."""

_OF_A_RECORD = ("", ".dat", ".mat")
_HDF5_OFFSETS = (0, 512, 1024, 2048, 4096)


class Format(NamedTuple):
    """A format of recordings."""

    title: str
    """Its name for people."""
    begins: Callable[[bytes], bool]
    """Tells the first bytes of such a file."""
    read: Callable[[Path, ReadOptions], Reading]
    """Reads a file; raises RecordError."""


def format_of(path: Path, *, leads_as: Mapping[str, str] | None = None) -> str | None:
    """Return the format of a file by its content, one of `FORMATS`; None of another, and of none.

    A few kilobytes are read. A path without a file is the WFDB record of that name, and a signal
    file is that of the header beside it.
    """
    start = first_bytes(path, FIRST_BYTES)
    if path.suffix.lower() in _OF_A_RECORD and _header_beside(path) is not None:
        return "wfdb"
    for name, form in FORMATS.items():
        if form.begins(start):
            return name
    return "csv" if names_leads(path, leads_as=leads_as) else None


def _header_beside(path: Path) -> Path | None:
    """Return the header of the WFDB record of a name or of a signal file."""
    for stem in (path, path.with_suffix("")):
        header = header_path(stem)
        if header != path and file_size(header) is not None:
            return header
    return None


def _read_wfdb(path: Path, options: ReadOptions) -> Reading:
    header = path if path.suffix.lower() == ".hea" else (_header_beside(path) or path)
    return read_wfdb_signals(
        header, leads_as=options.leads_as, unit=options.unit, checksums=options.checksums
    )


def _read_icbeb(path: Path, options: ReadOptions) -> Reading:
    return read_icbeb(path, unit=options.unit)


def _read_npy(path: Path, options: ReadOptions) -> Reading:
    return read_npy(path, _layout(options), name=str(path), leads_as=options.leads_as)


def _read_csv(path: Path, options: ReadOptions) -> Reading:
    return read_csv_signals(
        path, _layout(options), name=str(path), leads_as=options.leads_as, unit=options.unit
    )


def _read_hdf5(path: Path, options: ReadOptions) -> Reading:
    try:
        from lamae.readers.arrays.hdf5_files import read_hdf5
    except ModuleNotFoundError as error:
        value, expected = f"no package {error.name}", "the package that reads HDF5"
        remedy = "Run pip install 'lamae[hdf5]'."
        refuse(str(path), "missing_package", value=value, expected=expected, remedy=remedy)
    layout = _layout(options)
    return read_hdf5(path, layout, item=None, name=str(path), leads_as=options.leads_as)


def _layout(options: ReadOptions) -> ArrayLayout:
    """Return the layout of arrays with the user's unit."""
    if options.unit is None:
        return options.arrays
    return ArrayLayout.model_validate(options.arrays.model_dump() | {"unit": options.unit})


def _is_hdf5(start: bytes) -> bool:
    return any(start.startswith(b"\x89HDF\r\n\x1a\n", offset) for offset in _HDF5_OFFSETS)


def _is_edf(start: bytes) -> bool:
    known = start.startswith((b"0       ", b"\xffBIOSEMI"))
    return (
        known and start[236:244].strip().lstrip(b"-").isdigit() and start[252:256].strip().isdigit()
    )


def _has_root(name: str) -> Callable[[bytes], bool]:
    pattern = re.compile(rf"<(?:[\w.-]+:)?{name}[\s>/]", re.IGNORECASE)
    return lambda start: bool(pattern.search(decoded(start)))


def _is_scp(start: bytes) -> bool:
    """Tell SCP by its section 0, behind a checksum and a length, which lists itself first."""
    return (
        len(start) >= 32
        and start[8:10] == b"\0\0"
        and start[22:24] == b"\0\0"
        and (start[28:32] == b"\x07\0\0\0")
    )


def _is_kardia(start: bytes) -> bool:
    text = decoded(start).lstrip()
    keys = ('"recordedAt"', '"amplitudeResolution"', '"patientID"', '"algorithmDetermination"')
    return text.startswith("{") and sum(key in text for key in keys) >= 2


def _hospital(module: str, **settings: str) -> Callable[[Path, ReadOptions], Reading]:
    """Return the reader of a module of lamae.readers.hospital, which is imported when it reads."""

    def read(path: Path, options: ReadOptions) -> Reading:
        reader = importlib.import_module(f"lamae.readers.hospital.{module}")
        return reader.read(path, options, **settings)

    return read


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "dicom": Format("DICOM", lambda start: start[128:132] == b"DICM", _hospital("dicom")),
        "edf": Format("EDF or BDF", _is_edf, _hospital("edf")),
        "ishne": Format(
            "ISHNE",
            lambda start: start.startswith(b"ISHNE1.0"),
            _hospital("other_formats", name="ishne"),
        ),
        "mfer": Format(
            "MFER",
            lambda start: start[:1] == b"@" and start[2:6] == b"MFR ",
            _hospital("other_formats", name="mfer"),
        ),
        "scp": Format("SCP-ECG", _is_scp, _hospital("other_formats", name="scp")),
        "sierra": Format(
            "Philips Sierra XML", _has_root("restingecgdata"), _hospital("sierra_xml")
        ),
        "muse": Format("GE MUSE XML", _has_root("restingecg"), _hospital("muse_xml")),
        "aecg": Format("HL7 aECG XML", _has_root("annotatedecg"), _hospital("aecg_xml")),
        "kardia": Format("Kardia JSON", _is_kardia, _hospital("other_formats", name="kardia")),
        "npy": Format("NumPy", lambda start: start.startswith(b"\x93NUMPY"), _read_npy),
        "hdf5": Format("HDF5", _is_hdf5, _read_hdf5),
        "icbeb": Format(
            "CPSC 2018's MATLAB", lambda start: start.startswith(b"MATLAB 5.0 MAT"), _read_icbeb
        ),
        "wfdb": Format("WFDB", lambda start: is_header(decoded(start)), _read_wfdb),
        "csv": Format("CSV with a column for each lead", lambda start: False, _read_csv),
    }
)
"""By name; .csv is told by the names of leads in its first lines."""

OF_ARRAYS = frozenset({"npy", "hdf5", "icbeb", "wfdb", "csv"})
"""Formats whose files do not state whose recordings they hold."""
