"""The manifest of a corpus: which shards there are. Nothing in it leads out of the folder."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from lamae.errors import InputError

SHARD_NAME = r"^[A-Za-z0-9_-]+\.tar$"
"""Names of shards: no path, no address, no command of WebDataset's."""

_REMEDY = "Copy it again, or build the shards again."


class _ShardFile(BaseModel):
    file: str = Field(pattern=SHARD_NAME)
    bytes: int = Field(ge=0)


class _IndexFile(BaseModel):
    file: str
    bytes: int
    rows: int
    sha256: str


class _Manifest(BaseModel):
    """Entries of a manifest that a corpus needs."""

    shards: list[_ShardFile]
    index: _IndexFile | None = None
    """None in a manifest that was written before it had this entry."""


def read_manifest(path: Path, *, expected_format: str) -> dict[str, Any]:
    """Return all that a manifest holds; raises InputError where it is none of this format."""
    if not path.is_file():
        raise InputError(
            f"shard folder {path.parent}",
            value=f"no {path.name}",
            expected="a folder that shards/main.py has finished",
            remedy="Check data=, or build the shards first.",
        )
    try:
        manifest = json.loads(path.read_text())
        found = manifest.get("format")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        found = str(error)
    if found != expected_format:
        raise InputError(
            f"{path}",
            value=f"format {found!r}",
            expected=repr(expected_format),
            remedy="Build the shards again with this version.",
        )
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise InputError(
            f"{path}",
            value=f"{place}: {problem['msg']}, but is {problem['input']!r}",
            expected="the shards and the index of the folder",
            remedy=_REMEDY,
        ) from None
    return manifest


def check_shard_sizes(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise InputError for the first shard of a manifest that is missing or of another size."""
    for shard in manifest["shards"]:
        path = folder / shard["file"]
        found = path.stat().st_size if path.is_file() else None
        if found != shard["bytes"]:
            raise InputError(
                f"shard {path}",
                value="missing" if found is None else f"{found} bytes",
                expected=f"{shard['bytes']} bytes, as the manifest says",
                remedy=_REMEDY,
            )
