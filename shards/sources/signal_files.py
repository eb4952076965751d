"""Files that WFDB headers name: their signals, and the segments of records of several."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_HEADER_BYTES = 2**16


class HeaderFiles(NamedTuple):
    """Paths below the source that belong to other headers."""

    signals: set[str]
    """Signal files."""
    segments: set[str]
    """Headers of segments, which are no recordings of their own."""


def header_files(source: Path, files: Sequence[str]) -> HeaderFiles:
    """Return the files that the headers among `files` name; an unreadable header names none."""
    signals: set[str] = set()
    segments: set[str] = set()
    present = set(files)
    for path in files:
        if not path.casefold().endswith(".hea"):
            continue
        first, *others = _lines(source / path) or [""]
        named = [line.split()[0] for line in others if line.split()]
        beside = PurePosixPath(path).parent
        if "/" in first.split(" ")[0]:
            segments |= {str(beside / f"{name}.hea") for name in named} & present
        else:
            signals |= {str(beside / name) for name in named} & present
            stem = path[:-4]
            signals |= {f"{stem}{end}" for end in (".dat", ".mat", ".DAT", ".MAT")} & present
    return HeaderFiles(signals, segments)


def _lines(path: Path) -> list[str]:
    """Return the lines of a header that are no comments."""
    if not path.is_file():
        return []
    try:
        with path.open("rb") as file:
            text = file.read(_HEADER_BYTES).decode("latin-1")
    except OSError:
        return []
    lines: Iterable[str] = (line.strip() for line in text.split("\n"))
    return [line for line in lines if line and not line.startswith("#")]
