"""Faults of disks and folders in a sentence: full, read-only, removed, or gone."""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from lamae.errors import InputError


class _Advice(NamedTuple):
    expected: str
    remedy: str


_ROOM = _Advice("room on its disk", "Make room")
_PERMISSION = _Advice("permission", "Get permission, or name another folder")
_THERE = _Advice("that it is there", "Bring back what was removed, or name another folder")
_FREE = _Advice("a free name below a folder", "Name another folder")
_ANSWER = _Advice("a disk that answers", "Mend the disk or the network to it")
_OTHER = _Advice("that the system can do it", "Mend it, or name another folder")

_ADVICE: Mapping[int, _Advice] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _ROOM),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _PERMISSION),
    errno.ENOENT: _THERE,
    **dict.fromkeys((errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY), _FREE),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO), _ANSWER),
}
_IN_A_TEXT = re.compile(r"(?:os error|errno ?=?) (\d+)")
"""Number of a fault in messages of safetensors and HDF5, which give none to their errors."""


def fault_number(error: Exception) -> int | None:
    """Return the number of a system's error, which some libraries leave in its text alone."""
    number = error.errno if isinstance(error, OSError) else None
    found = _IN_A_TEXT.search(str(error))
    return number or (int(found.group(1)) if found else None)


def fault(error: Exception, thing: str, *, afterwards: str, doing: str = "") -> InputError:
    """Return what happened to `thing` as a sentence, with what to do and, `afterwards`, next."""
    number = fault_number(error)
    advice = _ADVICE.get(number or 0, _OTHER)
    value = os.strerror(number) if number else str(error) or type(error).__name__
    remedy = f"{advice.remedy}, then {afterwards}."
    return InputError(
        thing, value=f"{value} {doing}".rstrip(), expected=advice.expected, remedy=remedy
    )


def about(error: OSError) -> str:
    """Return a name for what an error of the system happened to."""
    named = error.filename2 or error.filename  # of a file that is renamed, its new name
    if isinstance(named, bytes):
        named = os.fsdecode(named)
    return str(named) if isinstance(named, str | Path) else "a file"


@contextmanager
def of_file(path: Path) -> Iterator[None]:
    """Give errors of the system that name no file the name of this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
