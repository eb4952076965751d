"""Tars in WebDataset's convention, plain or gzipped: members with one key are one sample.

A tar is indexed once, by its headers alone, and then its members are read in any order. A gzipped
one is expanded into a file without a name that goes with the process. Links, devices and whatever
else is no regular file is never followed. Members of one key need not stand together.
"""

import gzip
import re
import tarfile
import zlib
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple, cast

from lamae.errors import RecordError

SUFFIXES = (".tar", ".tar.gz", ".tgz")
"""Endings of the files that are tars."""

_MEMBER = re.compile(r"(?P<key>(?:.*/)?[^./][^./]*)\.(?P<ending>[^/]+)", re.DOTALL)
_MAX_EXPANSION = 200
"""Bytes that one of a gzipped tar may become; recordings become three, zeros a thousand."""
_MAX_MEMBER = 2**28
_BLOCK = 2**20
_OPEN = 4
_DAMAGE = (tarfile.TarError, OSError, EOFError, ValueError, ArithmeticError, zlib.error)


class Place(NamedTuple):
    """Place of a member."""

    offset: int
    size: int


class TarSample(NamedTuple):
    """The members of one key."""

    key: str
    """Path of the members without their ending, as WebDataset has it."""
    members: dict[str, Place]
    """By ending, in lower case."""


class Tar:
    """An open tar and its samples."""

    def __init__(self, file: mmap, damage: str = "") -> None:
        """Index a tar, which may be known to be damaged; it has the samples up to there."""
        self._file = file
        self.samples: list[TarSample] = []
        """In the order of their first members."""
        self.others: list[str] = []
        """Regular files without a key or an ending, and those of a key and ending seen before."""
        self.damage = damage
        """Damage, after which samples may lack; empty where there is none."""
        by_key: dict[str, TarSample] = {}
        file.seek(0)
        try:
            with tarfile.open(fileobj=cast(IO[bytes], file), mode="r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]
                    if member.isreg():
                        self._add(member, by_key)
                end = member_end(tar)
        except _DAMAGE as error:
            self.damage = self.damage or f"{type(error).__name__}: {error}"
            return
        mark = file[end : end + tarfile.BLOCKSIZE]
        if len(mark) < tarfile.BLOCKSIZE or any(mark):
            self.damage = self.damage or "no mark of its end: it may be cut short"

    def _add(self, member: tarfile.TarInfo, by_key: dict[str, TarSample]) -> None:
        match = _MEMBER.fullmatch(member.name)
        if match is None:
            self.others.append(member.name)
            return
        sample = by_key.get(match["key"])
        if sample is None:
            sample = by_key[match["key"]] = TarSample(match["key"], {})
            self.samples.append(sample)
        ending = match["ending"].casefold()
        if ending in sample.members:
            self.others.append(member.name)
        else:
            sample.members[ending] = Place(member.offset_data, member.size)

    def read(self, sample: TarSample, ending: str) -> bytes:
        """Return a member; raises RecordError where it is cut short or too large to be one."""
        place = sample.members[ending]
        if place.size <= _MAX_MEMBER:
            content = self._file[place.offset : place.offset + place.size]
            if len(content) == place.size:
                return content
        raise RecordError(
            f"recording {sample.key}",
            reason="unreadable_member",
            value=f"a member .{ending} of {place.size} bytes",
            expected=f"one that is whole, of at most {_MAX_MEMBER} bytes",
            remedy="Copy the tar again, or leave it out.",
        )


def member_end(tar: tarfile.TarFile) -> int:
    """Return where the mark of the end of a tar should stand, once its members are read."""
    return int(tar.offset)


def open_tar(path: Path) -> Tar:
    """Open a tar, or return the one that is open; raises RecordError where it cannot be read."""
    try:
        found = path.stat()
        return _opened(path, found.st_mtime_ns, found.st_size)
    except _DAMAGE as error:
        raise RecordError(
            f"tar {path}",
            reason="unreadable_tar",
            value=f"{type(error).__name__}: {error}",
            expected="a tar, plain or gzipped",
            remedy="Copy it again, or leave it out.",
        ) from None


@lru_cache(maxsize=_OPEN)
def _opened(path: Path, modified_ns: int, size: int) -> Tar:
    """Open a version of a file."""
    if not path.is_file():
        raise ValueError("no regular file")
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return Tar(mmap(file.fileno(), 0, access=ACCESS_READ))
    with TemporaryFile() as expanded:
        damage = _expand(path, expanded, max_bytes=size * _MAX_EXPANSION)
        expanded.flush()
        return Tar(mmap(expanded.fileno(), 0, access=ACCESS_READ), damage)


def _expand(path: Path, expanded: IO[bytes], *, max_bytes: int) -> str:
    """Expand a gzipped file up to its end or its damage; returns the damage.

    Raises ValueError for what was made to fill the disk.
    """
    with gzip.open(path) as packed:
        while True:
            try:
                block = packed.read(_BLOCK)
            except (OSError, EOFError, zlib.error) as error:
                return f"{type(error).__name__}: {error}"
            if not block:
                return ""
            if expanded.tell() + len(block) > max_bytes:
                raise ValueError(f"it expands to more than {_MAX_EXPANSION} times its size")
            expanded.write(block)
