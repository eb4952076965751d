"""Files of a user's folder that are no recordings, each with what it begins with and a remedy."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lamae.files import printable
from lamae.readers.regular_files import decoded
from shards.entries import Reject
from shards.rejects import NOT_READ
from shards.tables.columns import may_be_personal

_READ_BYTES = 512
_MAGIC_BYTES = 8
_SHOWN = 64
_ROOT = re.compile(r"<([A-Za-z_][\w.:-]{0,40})")
_SEPARATORS = re.compile(r"[,;\t:=|]")
_LONG_NUMBER = re.compile(r"\d{4}")
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
    if path.is_dir():
        what = (
            "A link to a folder, which is not followed" if path.is_symlink() else "A closed folder"
        )
        return f"{what}: name the folder itself in source=, or copy its files."
    ending = PurePosixPath(path.name).suffix.casefold()
    remedy = _REMEDIES.get(ending, "" if ending in _NO_RECORDINGS else _REMEDY)
    beginning = "" if ending in _SIGNALS else f"It begins with {_beginning(path)}. "
    return f"{beginning}{remedy}{'.' * bool(remedy)}".strip()


def _beginning(path: Path) -> str:
    """Return the first line of a text, or the first bytes of anything else, for a person.

    A file that is damaged may name its patient there: of a fact the key alone is told, of XML the
    root, of a long line or JSON the first characters, and of long numbers nothing.
    """
    if not path.is_file():
        return "nothing: it is a pipe, a device or a broken link"
    try:
        with path.open("rb") as file:
            start = file.read(_READ_BYTES)
    except OSError as error:
        return f"nothing that can be read: {error.strerror}"
    if not start:
        return "nothing: it is empty"
    text = decoded(start).lstrip("\ufeff")
    if root := _ROOT.search(text) if text.lstrip().startswith("<") else None:
        return f"the XML of {root[1]!r}"
    line = text.split("\n")[0].rstrip()
    visible = line[:_SHOWN].replace("\t", " ")
    if printable(visible) != visible or not line.strip():
        return f"the bytes {start[:_MAGIC_BYTES].hex(' ')}"
    shown = _without_facts(line)
    return repr(shown) if shown == line else f"{shown!r} and more"


def _without_facts(line: str) -> str:
    """Return what can be told of a line: names of columns, the key of a fact, else a start."""
    if _LONG_NUMBER.search(line) or line[0] in "{[":
        return line[:1]
    cells = _SEPARATORS.split(line)
    key = cells[0].strip("'\" ")
    if len(cells) > 1 and may_be_personal(key):
        return key
    if len(line) <= _SHOWN:
        return line
    return line[:_SHOWN].rpartition(",")[0] if len(cells) > 2 else line[:_MAGIC_BYTES]
