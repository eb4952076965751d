"""Regular files within a size; pipes and devices, whose reading might never end, are none."""

import stat
from pathlib import Path

_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def file_size(path: Path) -> int | None:
    """Return the bytes of a regular file, or None where there is none, as under too long a name."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a path with a zero byte
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def read_bounded(path: Path, *, max_bytes: int) -> bytes:
    """Return the content of a regular file; raises OSError for another one or a larger one."""
    size = file_size(path)
    if size is None:
        raise OSError(f"no file {path.name}")
    if size > max_bytes:
        raise OSError(f"{path.name} has {size} bytes, more than {max_bytes}")
    return path.read_bytes()


def first_bytes(path: Path, count: int) -> bytes:
    """Return the first bytes of a regular file, and none of what is no such file."""
    if file_size(path) is None:
        return b""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def decoded(content: bytes) -> str:
    """Return text by its byte order mark, else in UTF-8, else in Latin-1, which takes any byte."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
