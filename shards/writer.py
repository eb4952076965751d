"""Tar shards: uncompressed, in WebDataset's convention, the same bytes from the same samples."""

import hashlib
import tarfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from lamae.files import open_whole
from lamae.samples import SPLITS
from shards.encode import Encoded

_MODE = 0o644


class ShardWriter:
    """Appends samples to the tars of each split; a context manager.

    A tar is POSIX ustar without times or owners, so that its bytes are those of its samples.
    Tars that an error leaves unfinished are removed.
    """

    def __init__(self, folder: Path, *, shard_bytes: float) -> None:
        """Write into `folder`; a tar is closed once it has `shard_bytes`."""
        self.folder = folder
        self.shards: list[dict[str, Any]] = []
        self._shard_bytes = shard_bytes
        self._open: dict[str, _Shard] = {}
        self._numbers = Counter[str]()

    def __enter__(self) -> "ShardWriter":
        """Return the writer."""
        return self

    def add(self, sample: Encoded) -> dict[str, Any]:
        """Write one sample; returns its row of the index."""
        split = sample.fields["split"]
        if split not in self._open:
            path = self.folder / f"{split}-{self._numbers[split]:06d}.tar"
            self._open[split] = _Shard(path, split)
            self._numbers[split] += 1
        shard = self._open[split]
        row = shard.add(sample)
        if shard.bytes >= self._shard_bytes:
            self._finish(split)
        return row

    def _finish(self, split: str) -> None:
        self.shards.append(self._open.pop(split).finish())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the open tars, or remove them after an error."""
        for split in SPLITS:
            if split in self._open and error is None:
                self._finish(split)
            elif split in self._open:
                self._open.pop(split).discard(error)
        self.shards.sort(key=lambda shard: (SPLITS.index(shard["split"]), shard["file"]))


class _Shard:
    """One tar that is being written."""

    def __init__(self, path: Path, split: str) -> None:
        self.bytes = 0
        self._name, self._split = path.name, split
        self._samples = 0
        self._sha256 = hashlib.sha256()
        self._stack = ExitStack()
        self._file: IO[bytes] = self._stack.enter_context(open_whole(path))

    def add(self, sample: Encoded) -> dict[str, Any]:
        key = sample.fields["key"]
        end = self._member(f"{key}.npy", sample.signal)
        self._member(f"{key}.json", sample.metadata)
        self._samples += 1
        raw_bytes = 2 * len(sample.fields["leads"]) * sample.fields["samples"]
        place = {"shard": self._name, "offset": end - raw_bytes, "crc32": sample.crc32}
        return {**sample.fields, **place}

    def _member(self, name: str, content: bytes) -> int:
        """Append a file to the tar; returns where its content ends."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), _MODE
        self._append(info.tobuf(tarfile.USTAR_FORMAT) + content)
        end = self.bytes
        self._append(bytes(-end % tarfile.BLOCKSIZE))
        return end

    def _append(self, content: bytes) -> None:
        self._file.write(content)
        self._sha256.update(content)
        self.bytes += len(content)

    def finish(self) -> dict[str, Any]:
        self._append(bytes(2 * tarfile.BLOCKSIZE))
        self._append(bytes(-self.bytes % tarfile.RECORDSIZE))
        self._stack.close()
        return {
            "file": self._name,
            "split": self._split,
            "samples": self._samples,
            "bytes": self.bytes,
            "sha256": self._sha256.hexdigest(),
        }

    def discard(self, error: BaseException | None) -> None:
        # open_whole removes the partial file when the error passes through it, and raises it on.
        assert error is not None
        self._stack.__exit__(type(error), error, error.__traceback__)
