"""The manifest of a corpus: which shards there are. Nothing in it leads out of the folder."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from lamae.errors import InputError
from lamae.remote.cache_folder import SHA256, Content

FORMAT = "lamae-shards-2"
MANIFEST = "manifest.json"
INDEX = "index.parquet"
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


class _Checked(BaseModel):
    """A file that is known by its checksum, wherever it lies."""

    file: str
    bytes: int
    sha256: str = Field(pattern=SHA256)


class _CheckedIndex(_Checked):
    file: Literal["index.parquet"]


class _Manifest(BaseModel):
    """Entries of a manifest that a corpus needs."""

    shards: list[_ShardFile]
    index: _IndexFile | None = None
    """None in a manifest that was written before it had this entry."""


def is_corpus(folder: Path) -> bool:
    """Tell a folder of shards from others, by its files' names."""
    return (folder / MANIFEST).is_file() and (folder / INDEX).is_file()


def read_manifest(path: Path) -> dict[str, Any]:
    """Return all that a manifest holds; raises InputError where it is none of this format."""
    try:
        content = path.read_bytes() if path.is_file() else None
    except OSError as error:
        content = str(error).encode()  # no JSON, and named in the message
    return parse_manifest(content, path.parent)


def parse_manifest(content: bytes | None, location: Path | str) -> dict[str, Any]:
    """Return what the manifest of a place holds; raises InputError as `read_manifest`."""
    if content is None:
        raise InputError(
            f"shards {location}",
            value=f"no {MANIFEST}",
            expected="a folder that shards/main.py has finished",
            remedy="Check data=, or build the shards first.",
        )
    path = f"{location}/{MANIFEST}"
    try:
        manifest = json.loads(content)
        found = manifest.get("format")
    except (ValueError, AttributeError, RecursionError) as error:
        found = str(error)
    if found != FORMAT:
        raise InputError(
            path,
            value=f"format {found!r}",
            expected=repr(FORMAT),
            remedy="Check data=, or build the shards again with this version.",
        )
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise InputError(
            path,
            value=f"{place}: {problem['msg']}, but is {problem['input']!r}",
            expected="the shards and the index of the folder",
            remedy=_REMEDY,
        ) from None
    return manifest


def contents(manifest: dict[str, Any], location: Path | str) -> dict[str, Content]:
    """Return the shards and the index of a corpus by name, with the checksums that they need.

    Raises InputError for a manifest that lacks some.
    """
    try:
        found = [_Checked.model_validate(each) for each in manifest["shards"]]
        found.append(_CheckedIndex.model_validate(manifest.get("index")))
    except ValidationError as error:
        raise InputError(
            f"{location}/{MANIFEST}",
            value=f"{error.errors()[0]['msg']}, in an entry that is {error.errors()[0]['input']!r}",
            expected="bytes and sha256 of the index and of each shard",
            remedy="Give a folder of this machine without cache=, or build the shards again.",
        ) from None
    return {each.file: Content(each.file, each.bytes, each.sha256) for each in found}


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
