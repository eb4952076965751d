"""Log of the openings of a test split: that it was looked at, when, and how often.

Results that a choice was made by are on the bright side. The log does not forbid a second look, it
tells a reader that there was one.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

from lamae.runs.tracking import command

TEST = "test"
"""Split that a final evaluation is on."""
OPENINGS = "test_openings.jsonl"
"""File beside a run, a line for each opening."""


def log_opening(folder: Path, *, split: str, recordings: int, shards: str) -> int:
    """Add a line to the log of a folder, and return how many there are.

    `shards` is the checksum of the shards that hold the recordings.
    """
    path = folder / OPENINGS
    number = 1 + len(openings(folder))
    entry = {
        "opening": number,
        "opened": datetime.now(UTC).isoformat(timespec="seconds"),
        "split": split,
        "recordings": recordings,
        "shards_sha256": shards,
        "command": command(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
    return number


def openings(folder: Path) -> list[str]:
    """Return the lines of the log of a folder, none where nothing was opened."""
    path = folder / OPENINGS
    return path.read_text().splitlines() if path.is_file() else []
