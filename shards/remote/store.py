"""Files of a remote store, by paths below one URL; what fails for a moment is tried again."""

import hashlib
import importlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple, TypeVar

import fsspec
from aiohttp import ClientError

from lamae.errors import InputError
from lamae.files import open_whole
from shards.locations import PACKAGES, protocol_of
from shards.sources.join import is_inside

DELAYS_S = (0.5, 2.0, 8.0)
"""Seconds before each new attempt."""

_WITH_FOLDERS = ("file", "sftp")
_MD5 = re.compile(r"[0-9a-f]{32}")

T = TypeVar("T")
_PASSING = (OSError, EOFError, ClientError)
_OWN_ERRORS = {
    "s3": ("botocore.exceptions", "BotoCoreError"),
    "gs": ("gcsfs.retry", "HttpError"),
    "gcs": ("gcsfs.retry", "HttpError"),
    "az": ("azure.core.exceptions", "AzureError"),
    "abfs": ("azure.core.exceptions", "AzureError"),
    "hf": ("huggingface_hub.errors", "HTTPError"),
    "sftp": ("paramiko", "SSHException"),
}  # what the packages of these raise for a connection that fails, and is no OSError
_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError)


class RemoteFile(NamedTuple):
    """Facts that a store gives of one file."""

    size: int | None
    """Bytes; None where the store does not say."""
    version: str
    """Digest of all that the store says of it: it changes when the file does."""


class Store:
    """The files below a URL."""

    def __init__(self, url: str) -> None:
        """Open a store; raises InputError if a package for its protocol is missing."""
        self.url, protocol = url.rstrip("/"), protocol_of(url)
        self._has_folders = protocol in _WITH_FOLDERS
        try:
            self._files, self._root = fsspec.url_to_fs(self.url)
            self._passing: tuple[type[Exception], ...] = (*_PASSING, *_own_errors(protocol))
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
        found = self._tried("", lambda: self._find(None if recursive else 1))
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

    def fetch(self, path: str, to: Path, *, size: int | None = None) -> bool:
        """Copy a file to a place here, whole or not at all; returns whether there is one.

        Where its size is known, fewer bytes are an error that is tried again.
        """
        return self._tried(path, lambda: self._fetch(path, to, size))

    def _fetch(self, path: str, to: Path, size: int | None) -> bool:
        try:
            with open_whole(to) as file:
                self._files.get_file(self._place(path), file.name)
                came = Path(file.name).stat().st_size
                if size is not None and came != size:
                    raise OSError(f"{came} of {size} bytes came")
        except _ABSENT:
            return False
        return True

    def read(self, path: str) -> bytes | None:
        """Return the content of a small file; None where there is none."""

        def read() -> bytes | None:
            try:
                return bytes(self._files.cat_file(self._place(path)))
            except _ABSENT:
                return None

        return self._tried(path, read)

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
        self._tried(path, lambda: self._send(file, path))

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
        about = self._tried(path, lambda: self._about(path))
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

        self._tried(path, remove)

    def _place(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _tried(self, path: str, call: Callable[[], T]) -> T:
        """Call, and again after each of `DELAYS_S` where it fails in a way that may pass."""
        for delay in DELAYS_S:
            try:
                return call()
            except PermissionError as error:
                raise self._failed(path, error) from error
            except self._passing:
                time.sleep(delay)
        try:
            return call()
        except self._passing as error:
            raise self._failed(path, error) from error

    def _failed(self, path: str, error: Exception) -> InputError:
        return InputError(
            f"remote file {self.url}/{path}",
            value=f"{type(error).__name__}: {error}",
            expected="an answer of the store, in several attempts",
            remedy="Give the same command: it goes on with what is finished.",
        )


def _own_errors(protocol: str) -> list[type[Exception]]:
    if protocol not in _OWN_ERRORS:
        return []
    module, name = _OWN_ERRORS[protocol]
    found: type[Exception] = getattr(importlib.import_module(module), name)
    return [found]


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _described(about: dict[str, Any]) -> RemoteFile:
    size = about.get("size")
    text = repr(sorted((key, str(value)) for key, value in about.items()))
    return RemoteFile(
        int(size) if size is not None else None, hashlib.sha256(text.encode()).hexdigest()
    )
