"""Files and folders that appear whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def open_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name only once it is complete and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people: indented, whole or not at all."""
    with open_whole(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that takes its name only once everything in it is on disk.

    A folder that bears the name already is kept until then: an interruption leaves the one or
    the other, and what it left half done is put right the next time.
    """
    partial, former = (path.with_name(f"{path.name}.{end}") for end in ("partial", "former"))
    _settle(path, former)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for written in (*partial.rglob("*"), partial):
            _sync(written)
        if path.exists():
            path.rename(former)
        partial.rename(path)
        _sync(path.parent)
    finally:
        _settle(path, former)
        shutil.rmtree(partial, ignore_errors=True)


def _settle(path: Path, former: Path) -> None:
    """Drop a folder that has been replaced; give its name back to one that has not."""
    if path.exists():
        shutil.rmtree(former, ignore_errors=True)
    elif former.exists():
        former.rename(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
