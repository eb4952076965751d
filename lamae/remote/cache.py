"""Files of a store on this machine: whole, checked, and fetched once for all its processes."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import IO, NoReturn

from lamae.errors import InputError, PlaceError, SentenceError
from lamae.files import file_sha256
from lamae.remote.attempts import is_disk_error
from lamae.remote.cache_folder import CacheFolder, Content
from lamae.remote.store import Store

PATIENCE_S = 600.0
"""Seconds for which who needs a file waits for a store that does not answer."""
WRONG_BYTES_DELAYS_S = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a file that came with other bytes than it should is fetched again."""

_CONNECTIONS = 4
_GB = 10**9


def default_folder() -> Path:
    """Return where files of stores are kept, if no place is named: below the user's cache."""
    own = os.environ.get("XDG_CACHE_HOME")
    return (Path(own) if own else Path.home() / ".cache") / "lamae" / "shards"


class Cache:
    """Files below one URL, of known content."""

    def __init__(self, url: str, folder: Path | None, *, max_gb: float | None = None) -> None:
        """Keep files in a folder, of at most so many gigabytes (10**9 bytes) in all.

        Other corpora may be kept in the same folder. Raises InputError as `Store`, and where there
        can be no such folder.
        """
        self.url = url
        self._max_bytes = None if max_gb is None else int(max_gb * _GB)
        self._folder = CacheFolder(folder or default_folder(), max_bytes=self._max_bytes)
        self._patient, self._quick = Store(url, patience_s=PATIENCE_S), Store(url)
        self._refused: dict[Content, str] = {}
        self._ahead: dict[Content, None] = {}
        self._threads = 0
        self._lock = Lock()

    @property
    def max_held_bytes(self) -> int | None:
        """Bytes that one process may hold open or mapped: half of the limit, None without one."""
        return None if self._max_bytes is None else self._max_bytes // 2

    def open(self, file: Content) -> IO[bytes]:
        """Open a file, fetched if it is not here; it stays as long as it is open or mapped.

        Raises InputError for a file that the store lacks, or has with other bytes; and PlaceError
        where the store does not answer, or the disk fails.
        """
        with self._lock:
            self._ahead.pop(file, None)
        opened = None
        while opened is None:
            try:
                opened = self._folder.held(file) or self._fetched(file, self._patient)
            except OSError as error:  # else it would be taken for a damaged shard
                self._fail(file, str(error))
        return opened

    def path(self, file: Content) -> Path:
        """Return the name that a file has here; it is there as long as the file is open."""
        return self._folder.finished(file)

    def expect(self, files: Iterable[Content]) -> None:
        """Fetch files ahead, in this order; of those that lack, as many as half the limit holds."""
        room = self.max_held_bytes
        with self._lock:
            for file in files:
                if file in self._refused or self._folder.finished(file).exists():
                    continue
                room = None if room is None else room - file.bytes
                if room is not None and room < 0:
                    break
                self._ahead[file] = None
            wanted = min(_CONNECTIONS, len(self._ahead)) - self._threads
            self._threads += max(wanted, 0)
        for _ in range(wanted):
            Thread(target=self._fetch_ahead, name="fetch", daemon=True).start()

    def discard_damaged(self, file: Content) -> bool:
        """Remove a file that is no longer as it was fetched; returns whether it was damaged."""
        path = self._folder.finished(file)
        if not path.exists() or difference(path, file) is None:
            return False
        path.unlink(missing_ok=True)
        return True

    def _fetch_ahead(self) -> None:
        """Fetch what is expected until nothing is; who reads it meets its errors himself."""
        while True:
            with self._lock:
                file = next(iter(self._ahead), None)
                if file is None:
                    self._threads -= 1
                    return
                del self._ahead[file]
            with suppress(SentenceError, OSError):
                fetched = self._fetched(file, self._quick)
                if fetched is not None:
                    fetched.close()

    def _fetched(self, file: Content, store: Store) -> IO[bytes] | None:
        """Fetch a file and open it; None where others have fetched it meanwhile."""

        def write(place: Path) -> None:
            found = self._copy(file, place, store)
            if found is not None:
                self._refused[file] = found
                raise self._refusal(file)

        if file in self._refused:
            raise self._refusal(file)
        return self._folder.fetched(file, write)

    def _refusal(self, file: Content) -> InputError:
        return InputError(
            f"file {self.url}/{file.name}",
            value=self._refused[file],
            expected=f"{file.bytes} bytes with the SHA-256 of the manifest",
            remedy="It is damaged: copy or build it again.",
        )

    def _copy(self, file: Content, place: Path, store: Store) -> str | None:
        """Copy a file to a place; returns what is wrong with it, after several attempts."""
        found: str | None = None
        for delay in (0.0, *WRONG_BYTES_DELAYS_S):
            time.sleep(delay)
            if not self._copy_once(file, place, store):
                return "missing" if place.exists() else self._fail(file, "removed while in use")
            found = difference(place, file)
            if found is None:
                break
        return found

    def _copy_once(self, file: Content, place: Path, store: Store) -> bool:
        try:
            return store.copy(file.name, place, size=file.bytes)
        except SentenceError as error:
            if not is_disk_error(error.__cause__):
                raise
            if self._folder.make_room(for_bytes=file.bytes):
                return self._copy_once(file, place, store)
            self._fail(file, str(error.__cause__))

    def _fail(self, file: Content, found: str) -> NoReturn:
        raise PlaceError(
            f"cache {self._folder.path}",
            value=found,
            expected=f"room for the {file.bytes} bytes of {file.name}, on a disk that works",
            remedy="Name another folder in cache=, or set cache_gb= to what may be used.",
        )


def difference(path: Path, file: Content) -> str | None:
    """Return in what a file differs from what it should be; None where it does not."""
    size = path.stat().st_size
    if size != file.bytes:
        return f"{size} bytes" if size < file.bytes else f"more than {file.bytes} bytes"
    found = file_sha256(path)
    return None if found == file.sha256 else f"SHA-256 {found[:12]} instead of {file.sha256[:12]}"
