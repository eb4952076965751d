"""Files that WFDB headers name: their signals, and the segments of records of several."""

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lamae.readers.wfdb.header import parse_header
from lamae.readers.wfdb.segment import header_text
from lamae.readers.wfdb.segments import segment_names

_ENDINGS = (".dat", ".mat", ".DAT", ".MAT")


class HeaderFiles(NamedTuple):
    """Paths below the source that belong to headers."""

    signals: set[str]
    """Signal files."""
    segments: set[str]
    """Headers of segments, which are no recordings of their own."""


def header_files(source: Path, files: Sequence[str], *, opened: Collection[str]) -> HeaderFiles:
    """Return the files that the headers among `files` name.

    The signal files of a header that is unreadable, or is none of those `opened`, are those of its
    name.
    """
    readable = set(opened)
    signals: set[str] = set()
    segments: set[str] = set()
    present = set(files)
    for path in files:
        if not path.casefold().endswith(".hea"):
            continue
        beside = PurePosixPath(path).parent
        names = segment_names(source / path) if path in readable else ()
        ends = (".hea", ".HEA")
        places = (str(beside / f"{name}{end}") for name in names for end in ends)
        segments.update(place for place in places if place in present)
        if not names:
            named = signal_names(source / path) if path in readable else ()
            signals.update(n for n in (str(beside / name) for name in named) if n in present)
            signals.update(n for n in (f"{path[:-4]}{e}" for e in _ENDINGS) if n in present)
    return HeaderFiles(signals, segments)


def signal_names(header: Path) -> set[str]:
    """Return the files in its folder that a header names; none of an unreadable one."""
    try:
        return {signal.file for signal in parse_header(header_text(header)).signals}
    except (OSError, ValueError):
        return set()
