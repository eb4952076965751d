"""Files of a user's folder that are no recordings, each with what it begins with and a remedy."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lamae.files import printable
from lamae.readers.regular_files import decoded
from shards.entries import Reject
from shards.rejects import NOT_READ

_SHOWN_BYTES = 64
_SIGNALS = (".dat", ".mat")
_REMEDIES = {
    ".csv": "If it is a recording, let its header name the leads; if it is the table of labels, "
    "name it in table=",
    ".dat": "A signal file without its header: copy the .hea beside it",
    ".mat": "A MATLAB file without a WFDB header: see source_kind=cpsc2018",
    ".hea": "A WFDB header in another place",
    ".zip": "Unpack it",
    ".gz": "Unpack it",
    ".tar": "Unpack it",
    ".xlsx": "Save the table as CSV",
    ".xls": "Save the table as CSV",
    ".parquet": "Save the table as CSV",
    ".pdf": "A picture of a recording: ask for the recording itself, e.g. as XML or DICOM",
}
_REMEDY = "If it is a recording, convert it to WFDB, EDF or CSV"
_NO_RECORDINGS = {"", ".md", ".txt", ".json", ".yaml", ".yml", ".html", ".log", ".sha256", ".rst"}


def unread_files(source: Path, paths: Sequence[str], *, table: Path | None) -> list[Reject]:
    """Return a reject for each file that is neither a recording nor the table in use."""
    in_use = table and table.resolve()
    rest = [path for path in paths if (source / path).resolve() != in_use]
    return [Reject(path, NOT_READ, message_of(source / path)) for path in rest]


def message_of(path: Path) -> str:
    """Return the beginning of a file, and what can be done about it."""
    ending = PurePosixPath(path.name).suffix.casefold()
    remedy = _REMEDIES.get(ending, "" if ending in _NO_RECORDINGS else _REMEDY)
    beginning = "" if ending in _SIGNALS else f"It begins with {_beginning(path)}. "
    return f"{beginning}{remedy}{'.' * bool(remedy)}".strip()


def _beginning(path: Path) -> str:
    """Return the first line of a text, or the first bytes of anything else, for a person."""
    if not path.is_file():
        return "nothing: it is a pipe, a device or a broken link"
    try:
        with path.open("rb") as file:
            start = file.read(_SHOWN_BYTES)
    except OSError as error:
        return f"nothing that can be read: {error.strerror}"
    if not start:
        return "nothing: it is empty"
    line = decoded(start).split("\n")[0].strip()
    if line and printable(line) == line:
        return repr(line)
    return f"the bytes {start[:16].hex(' ')}"
