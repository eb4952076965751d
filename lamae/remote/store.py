"""Files of a remote store, by paths below one URL; what fails for a moment is tried again."""

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

import fsspec
from aiohttp import ClientTimeout
from fsspec.callbacks import Callback

from lamae.errors import InputError
from lamae.files import open_whole
from lamae.remote.attempts import Attempts
from lamae.remote.locations import PACKAGES, is_inside, protocol_of

_WITH_FOLDERS = ("file", "sftp")
_MD5 = re.compile(r"[0-9a-f]{32}")

_OF_HTTP = ("http", "https")
_SILENCE_S = 60.0  # aiohttp would else give up five minutes after the start, however much came
_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError)


class RemoteFile(NamedTuple):
    """Facts that a store gives of one file."""

    size: int | None
    """Bytes; None where the store does not say."""
    version: str
    """Digest of all that the store says of it: it changes when the file does."""


class Store:
    """The files below a URL."""

    def __init__(self, url: str, *, patience_s: float | None = None) -> None:
        """Open a store; raises InputError if a package for its protocol is missing.

        What fails is tried again three times, or for as long as `patience_s`.
        """
        self.url, protocol = url.rstrip("/"), protocol_of(url)
        self._has_folders = protocol in _WITH_FOLDERS
        options: dict[str, Any] = {}
        if protocol in _OF_HTTP:
            timeout = ClientTimeout(total=None, sock_connect=_SILENCE_S, sock_read=_SILENCE_S)
            options = {"client_kwargs": {"timeout": timeout}}
        try:
            self._files, self._root = fsspec.url_to_fs(self.url, **options)
            self._attempts = Attempts(self.url, patience_s=patience_s)
        except (ImportError, ValueError, OSError) as error:
            package = PACKAGES[protocol]
            raise InputError(
                f"store {url}",
                value=str(error),
                expected=f"a {protocol} store that fsspec can open with {package}",
                remedy=f"Install it: pip install {package}; then check the address.",
            ) from error
        self._root = self._root.rstrip("/")
        self._files.invalidate_cache()  # another program may have written since

    def list(self, *, recursive: bool) -> dict[str, RemoteFile]:
        """Return the files below the URL, or those in it, sorted by path; none if it is not there.

        Names that lead out of the URL are left out.
        """
        found = self._attempts.call("", lambda: self._find(None if recursive else 1))
        files = {}
        for name, about in found.items():
            path = name.removeprefix(f"{self._root}/")
            if path != name and is_inside(path) and "\\" not in path and not path.endswith("/"):
                files[path] = _described(about)
        return dict(sorted(files.items()))

    def _find(self, depth: int | None) -> dict[str, dict[str, Any]]:
        try:
            found: dict[str, dict[str, Any]]
            found = self._files.find(self._root, maxdepth=depth, detail=True)
        except _ABSENT:
            return {}
        return found

    def fetch(
        self, path: str, to: Path, *, size: int | None = None, first: int | None = None
    ) -> bool:
        """Copy a file, or its `first` bytes, to a place here; returns whether there is one.

        Where its size is known, fewer bytes are an error that is tried again.
        """
        return self._attempts.call(path, lambda: self._fetch(path, to, size, first))

    def _fetch(self, path: str, to: Path, size: int | None, first: int | None) -> bool:
        try:
            with open_whole(to) as file:
                if first is None:
                    self._files.get_file(self._place(path), file.name)
                else:
                    file.write(self._files.cat_file(self._place(path), start=0, end=first))
                    file.flush()
                came = Path(file.name).stat().st_size
                if size is not None and came != size:
                    raise OSError(f"{came} of {size} bytes came")
        except _ABSENT:
            return False
        return True

    def copy(self, path: str, to: Path, *, size: int) -> bool:
        """Copy a file here as it comes, whole or not; returns whether there is one.

        `size` says how much can come of it: one that is larger is not fetched to its end.
        """

        def copy() -> bool:
            try:
                self._files.get_file(self._place(path), str(to), callback=_AtMost(size))
            except _ABSENT:
                return False
            except _TooLargeError:
                pass
            return True

        return self._attempts.call(path, copy)

    def read(self, path: str) -> bytes | None:
        """Return the content of a small file; None where there is none."""

        def read() -> bytes | None:
            try:
                return bytes(self._files.cat_file(self._place(path)))
            except _ABSENT:
                return None

        return self._attempts.call(path, read)

    def write(self, path: str, content: bytes) -> None:
        """Write a small file."""
        with NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self.send(Path(file.name), path)

    def send(self, file: Path, path: str) -> None:
        """Copy a file from here to a place right below the URL.

        Raises InputError where the store does not keep all of it.
        """
        self._attempts.call(path, lambda: self._send(file, path))

    def _send(self, file: Path, path: str) -> None:
        if self._has_folders:
            self._files.makedirs(self._root, exist_ok=True)
        self._files.put_file(str(file), self._place(path))
        self._files.invalidate_cache()
        stored = self._files.info(self._place(path)).get("size")
        if stored is not None and stored != file.stat().st_size:
            raise OSError(f"{stored} of {file.stat().st_size} bytes arrived")

    def holds(self, file: Path, path: str) -> bool:
        """Return True where a file of the store has the size, and any MD5, of one here.

        Stores that keep an MD5 as entity tag are asked; other tags only cost another copy.
        """
        about = self._attempts.call(path, lambda: self._about(path))
        if about.get("size") != file.stat().st_size:
            return False
        tag = str(about.get("ETag", "")).strip('"')
        if not _MD5.fullmatch(tag):
            return True
        with file.open("rb") as content:
            return tag == hashlib.file_digest(content, _md5).hexdigest()

    def _about(self, path: str) -> dict[str, Any]:
        try:
            return dict(self._files.info(self._place(path)))
        except _ABSENT:
            return {}

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""

        def remove() -> None:
            with suppress(*_ABSENT):
                self._files.rm_file(self._place(path))

        self._attempts.call(path, remove)

    def _place(self, path: str) -> str:
        return f"{self._root}/{path}"


class _TooLargeError(Exception):
    pass


class _AtMost(Callback):  # type: ignore[misc]  # fsspec has no annotations
    """Ends a copy of which more comes than there should be."""

    def relative_update(self, inc: int = 1) -> None:
        super().relative_update(inc)
        if self.value > self.size:
            raise _TooLargeError

    def set_size(self, size: int | None) -> None:
        """Keep the size that was expected, whatever the store says."""


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _described(about: dict[str, Any]) -> RemoteFile:
    size = about.get("size")
    text = repr(sorted((key, str(value)) for key, value in about.items()))
    return RemoteFile(
        int(size) if size is not None else None, hashlib.sha256(text.encode()).hexdigest()
    )
