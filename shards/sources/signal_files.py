"""Files that WFDB headers name: their signals, and the segments of records of several."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lamae.readers.wfdb_header import parse_header
from lamae.readers.wfdb_segment import header_text
from lamae.readers.wfdb_segments import segment_names

_ENDINGS = (".dat", ".mat", ".DAT", ".MAT")


class HeaderFiles(NamedTuple):
    """Paths below the source that belong to headers."""

    signals: set[str]
    """Signal files."""
    segments: set[str]
    """Headers of segments, which are no recordings of their own."""


def header_files(source: Path, files: Sequence[str]) -> HeaderFiles:
    """Return the files that the headers among `files` name.

    The signal files of an unreadable header are those of its name.
    """
    signals: set[str] = set()
    segments: set[str] = set()
    present = set(files)
    for path in files:
        if not path.casefold().endswith(".hea"):
            continue
        beside = PurePosixPath(path).parent
        names = segment_names(source / path)
        ends = (".hea", ".HEA")
        segments |= {str(beside / f"{name}{end}") for name in names for end in ends} & present
        if not names:
            signals |= {str(beside / name) for name in _signal_names(source / path)} & present
            signals |= {f"{path[:-4]}{end}" for end in _ENDINGS} & present
    return HeaderFiles(signals, segments)


def _signal_names(header: Path) -> set[str]:
    try:
        return {signal.file for signal in parse_header(header_text(header)).signals}
    except (OSError, ValueError):
        return set()
