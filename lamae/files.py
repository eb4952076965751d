"""Files that appear whole or not at all."""

import json
import os
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
