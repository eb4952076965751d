"""Tar shards in WebDataset's convention: the same bytes from the same samples."""

import hashlib
import tarfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from lamae.files import open_whole
from shards.build.encode import EncodedSample

_MODE = 0o644


class ShardWriter:
    """Appends samples to one tar; a context manager.

    A tar is POSIX ustar without times or owners, so that its bytes are those of its samples. It
    takes its name when it is complete; an error leaves none.
    """

    def __init__(self, path: Path) -> None:
        """Write to `path`."""
        self.name = path.name
        self._path, self._stack = path, ExitStack()
        self._samples = self._bytes = 0
        self._sha256 = hashlib.sha256()
        self._file: IO[bytes]

    def __enter__(self) -> "ShardWriter":
        """Open the file."""
        self._file = self._stack.enter_context(open_whole(self._path))
        return self

    def add(self, sample: EncodedSample) -> dict[str, Any]:
        """Write one sample; returns its row of the index."""
        key = sample.fields["key"]
        end = self._member(f"{key}.{sample.fields['codec']}", sample.signal.member)
        self._member(f"{key}.json", sample.metadata)
        self._samples += 1
        stored = sample.signal.stored
        place = {"shard": self.name, "offset": end - stored, "bytes": stored}
        return {**sample.fields, **place, "crc32": sample.signal.crc32}

    def _member(self, name: str, content: bytes) -> int:
        """Append a file to the tar; returns where its content ends."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), _MODE
        self._append(info.tobuf(tarfile.USTAR_FORMAT) + content)
        end = self._bytes
        self._append(bytes(-end % tarfile.BLOCKSIZE))
        return end

    def _append(self, content: bytes) -> None:
        self._file.write(content)
        self._sha256.update(content)
        self._bytes += len(content)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the tar, or remove what there is of it after an error."""
        if error is None:
            self._append(bytes(2 * tarfile.BLOCKSIZE))
            self._append(bytes(-self._bytes % tarfile.RECORDSIZE))
        self._stack.__exit__(kind, error, trace)

    def describe(self) -> dict[str, Any]:
        """Return what the manifest says of a finished shard."""
        return {
            "file": self.name,
            "samples": self._samples,
            "bytes": self._bytes,
            "sha256": self._sha256.hexdigest(),
        }
