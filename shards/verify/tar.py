"""A tar is walked from its bytes alone: what is a member, and what is none."""

import hashlib
import tarfile
from collections.abc import Iterator
from typing import IO, NamedTuple

BLOCK = tarfile.BLOCKSIZE
"""Bytes of a header, and what members are padded to."""


class Member(NamedTuple):
    """A member whose header has the checksum that it states."""

    start: int
    """Offset of its header."""
    name: str
    """Its name as it stands in the header."""
    is_file: bool
    """True for a regular file; False for a folder, a link or an extended header."""
    content: bytes
    """Its content."""
    padding: bytes
    """Bytes that fill its last block."""


class Gap(NamedTuple):
    """Bytes between members, or behind the last, that are no member."""

    start: int
    """Offset of their start."""
    end: int
    """Offset of their end."""
    zeros: bool
    """True where all of them are 0."""
    last: bool
    """True where the file ends with them."""

    @property
    def is_end_of_tar(self) -> bool:
        """Return True for the end of a tar: two blocks of zeros, and more to a full record."""
        length = self.end - self.start
        fills = 2 * BLOCK <= length < 2 * BLOCK + tarfile.RECORDSIZE
        return self.zeros and self.last and fills and self.end % tarfile.RECORDSIZE == 0


class DigestingReader:
    """Reads a file once, from its start to its end, and knows the SHA-256 of what was read.

    It reads rather than maps the file: a disk that fails raises OSError, and kills no process.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        """Read `file`, which is `size` bytes long."""
        self.position = 0
        self.size = size
        self._file = file
        self._sha256 = hashlib.sha256()

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes, or fewer at the end; raises OSError."""
        content = self._file.read(count)
        self.position += len(content)
        self._sha256.update(content)
        return content

    def hexdigest(self) -> str:
        """Return the SHA-256 of what was read."""
        return self._sha256.hexdigest()


def walk(reader: DigestingReader) -> Iterator[Member | Gap]:
    """Yield all of a tar, in order; after what is no member it goes on at the next header.

    A size that goes beyond the end of the file is not believed. Raises OSError.
    """
    gap_start, zeros = None, True
    while block := reader.read(BLOCK):
        start = reader.position - len(block)
        size = _size(block)
        if size is None or size > reader.size - reader.position:
            if gap_start is None:
                gap_start, zeros = start, True
            zeros = zeros and block.count(0) == len(block)
            continue
        if gap_start is not None:
            yield Gap(gap_start, start, zeros, last=False)
            gap_start = None
        content = reader.read(size)
        yield Member(
            start, _name(block), block[156:157] in b"0\0", content, reader.read(-size % BLOCK)
        )
    if gap_start is not None:
        yield Gap(gap_start, reader.position, zeros, last=True)


def _size(header: bytes) -> int | None:
    """Return the size that a header states, or None for what is no header (POSIX.1-1988, ustar).

    Any flipped bit makes it none: the checksum is the sum of all bytes, its own counted as spaces.
    """
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    digits = header[124:136].rstrip(b"\0 ")
    if header[148:156] != b"%06o\0 " % total or header[257:262] != b"ustar":
        return None
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


def _name(header: bytes) -> str:
    name, prefix = (part.partition(b"\0")[0] for part in (header[:100], header[345:500]))
    return b"/".join(part for part in (prefix, name) if part).decode("utf-8", "surrogateescape")
