"""A folder of files under their checksums, shared by all processes of a machine.

A file bears its SHA-256 as its name, and bears it only once it is whole, so that neither versions
nor corpora can be taken for each other. Locks are `flock` on the files themselves, which the kernel
drops with the process that holds them: who fetches holds the unfinished file, who reads holds the
finished one for as long as it is open or mapped, and what is held by nobody may leave.
"""

import fcntl
import logging
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from lamae.errors import InputError, PlaceError
from lamae.files import make_folder

SHA256 = r"^[0-9a-f]{64}$"

_log = logging.getLogger(__name__)
_OURS = re.compile(r"[0-9a-f]{64}(?P<partial>\.(?P<bytes>\d+)\.partial)?")
_ROOM = "room.lock"
_POLL_S = 0.05


class Content(NamedTuple):
    """A file of a store, and what it must hold."""

    name: str
    """Its name in the store."""
    bytes: int
    """Its size."""
    sha256: str
    """Its checksum."""


class _Kept(NamedTuple):
    """A file that may leave."""

    used: float
    path: Path
    bytes: int


class CacheFolder:
    """Files that can be fetched again."""

    def __init__(self, path: Path, *, max_bytes: int | None) -> None:
        """Keep files in a folder, of at most so many bytes together.

        Raises InputError where there can be no such folder.
        """
        self.path, self._max_bytes = path, max_bytes
        self._has_warned = False
        try:
            make_folder(path)
        except OSError as error:
            raise InputError(
                f"cache {path}",
                value=str(error),
                expected="a folder that can be written to",
                remedy="Name another in cache=, best on a disk of this machine.",
            ) from None

    def held(self, file: Content) -> IO[bytes] | None:
        """Open a file, which stays here as long as it is open or mapped; None if it is not here."""
        path = self.finished(file)
        while True:
            try:
                opened = path.open("rb")
            except FileNotFoundError:
                return None
            _lock(opened, fcntl.LOCK_SH)
            if not _is_at(opened, path):  # it left just before
                opened.close()
            elif os.fstat(opened.fileno()).st_size != file.bytes:  # cut by another program
                path.unlink(missing_ok=True)
                opened.close()
                return None
            else:
                with suppress(PermissionError):  # another user's, who alone may say so
                    os.utime(opened.fileno())  # used now
                return opened

    def finished(self, file: Content) -> Path:
        """Return the name of a file that is here, whole."""
        return self.path / file.sha256

    def fetched(self, file: Content, write: Callable[[Path], None]) -> IO[bytes] | None:
        """Write a file at a place, and return it open, as `held` does; it bears its name then.

        What `write` raises leaves no file. Where others write it, they are waited for; None where
        they have written it.
        """
        finished, partial = self.finished(file), self._partial(file)
        writing = self._claim(finished, partial)
        if writing is None:
            return None
        try:
            self.make_room()
            write(partial)
            os.fsync(writing.fileno())
            partial.replace(finished)
            _lock(writing, fcntl.LOCK_SH)  # no longer alone; it cannot leave before it is read
        except BaseException:
            partial.unlink(missing_ok=True)
            writing.close()
            raise
        writing.seek(0)
        return writing

    def _claim(self, finished: Path, partial: Path) -> IO[bytes] | None:
        """Open the unfinished file, held by nobody else; None where it is finished."""
        while not finished.exists():
            make_folder(self.path)
            writing = partial.open("a+b")
            if _is_locked(writing) and _is_at(writing, partial):
                if not finished.exists():
                    return writing
                partial.unlink()
            writing.close()
            time.sleep(_POLL_S)  # a lock that waits would wait for readers of the finished file
        return None

    def make_room(self, *, for_bytes: int = 0) -> bool:
        """Let the least recently used files leave that nobody holds; returns whether any did.

        What is being fetched counts as if it were here. They leave until the rest is within the
        limit, or where the disk is full, until `for_bytes` are free.
        """
        if self._max_bytes is None and not for_bytes:
            return False
        with (self.path / _ROOM).open("ab") as room:
            _lock(room, fcntl.LOCK_EX)
            kept, total = self._content()
            limit = total - for_bytes if for_bytes else self._max_bytes or 0
            left = total
            for file in sorted(kept):
                if left <= limit:
                    break
                if _remove(file.path):
                    left -= file.bytes
        if left > limit and not for_bytes and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "cache %s: %.3g GB are in use at once, more than cache_gb=%g; it takes what it "
                "needs",
                self.path,
                left / 1e9,
                limit / 1e9,
            )
        return left < total

    def _content(self) -> tuple[list[_Kept], int]:
        """Return the finished files, and the bytes of all; sweep what killed processes left."""
        kept, total = [], 0
        for entry in os.scandir(self.path):
            match = _OURS.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(FileNotFoundError):
                if match["partial"] is None:
                    about = entry.stat()
                    kept.append(_Kept(about.st_mtime, Path(entry.path), about.st_size))
                    total += about.st_size
                elif not _remove(Path(entry.path)):
                    total += int(match["bytes"])
        return kept, total

    def _partial(self, file: Content) -> Path:
        return self.path / f"{file.sha256}.{file.bytes}.partial"


def _is_locked(file: IO[bytes]) -> bool:
    """Lock a file that nobody else holds; returns False where somebody does."""
    try:
        _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock(file: IO[bytes], how: int) -> None:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        raise
    except OSError as error:
        file.close()
        raise PlaceError(
            f"cache, file {file.name}",
            value=str(error),
            expected="a file system with locks (flock)",
            remedy="Name a folder on a disk of this machine in cache=.",
        ) from None


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Tell whether an open file is the one that bears a name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> bool:
    """Remove a file that nobody holds; returns whether it is gone."""
    try:
        with path.open("rb") as file:
            if not _is_locked(file):
                return False
            if _is_at(file, path):
                path.unlink()
    except FileNotFoundError:
        pass
    return True
