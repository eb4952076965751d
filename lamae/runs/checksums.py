"""Checksums: the size and SHA-256 of each file of a folder, by which damage to any is found."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamae.errors import InputError
from lamae.files import open_whole

CHECKSUMS = "files.json"
"""Names the files of a folder, each with its bytes and SHA-256."""


UNCHECKED = ("README.md", ".gitattributes")
"""Files without checksums: people edit the card of a model, and the Hub adds the other."""


def write_checksums(folder: Path, known: Mapping[str, dict[str, Any]] | None = None) -> None:
    """Write the checksums of the files that lie in a folder now, but for those of `UNCHECKED`.

    Files in `known` are not read: their `bytes` and `sha256` were found as they were written.
    """
    left_out = (CHECKSUMS, *UNCHECKED)
    found = dict(known or {})
    there = (path.name for path in folder.iterdir() if path.is_file())
    names = sorted(found.keys() | {name for name in there if name not in left_out})
    with open_whole(folder / CHECKSUMS) as file:
        entries = {name: found.get(name) or _fingerprint(folder / name) for name in names}
        file.write(_as_bytes(entries))


def read_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Return `bytes` and `sha256` of each file of a folder, as they were written."""
    found: dict[str, dict[str, Any]] = json.loads((folder / CHECKSUMS).read_bytes())
    return found


def damage(
    folder: Path, *, needs: Sequence[str], only: Collection[str] | None = None
) -> str | None:
    """Name the first file of a folder that differs from its checksum; None if none does.

    A file in `needs` must have a checksum; others without one, such as a model card, may lie there.
    With `only`, of those that `needs` does not name these alone are read.
    """
    if not (folder / CHECKSUMS).is_file():
        return f"no {CHECKSUMS}, which holds the sizes and SHA-256 of all files"
    try:
        content = (folder / CHECKSUMS).read_bytes()
        entries = json.loads(content)
    except (ValueError, OSError, RecursionError) as error:
        return f"file {CHECKSUMS}: {error}"
    if not isinstance(entries, dict) or _as_bytes(entries) != content:
        return f"file {CHECKSUMS}: not as written"
    for name in dict.fromkeys((*needs, *(entries if only is None else only))):
        if Path(name).name != name:
            return f"file {CHECKSUMS}: {name} is no name of a file in the folder"
        found = _difference(folder / name, entries.get(name))
        if found:
            return f"file {name}: {found}"
    return None


def verify_checksums(
    folder: Path, *, needs: Sequence[str], only: Collection[str] | None = None
) -> None:
    """Raise InputError that names the damaged file of a folder, if one is; see `damage`."""
    found = damage(folder, needs=needs, only=only)
    if found:
        raise InputError(
            f"folder {folder}",
            value=found,
            expected="every file as it was written",
            remedy="Copy the folder again, or use another. If you trust it, as you may one of a "
            "version of LAMAE that wrote no checksums: "
            "lamae.runs.checksums.write_checksums(folder).",
        )


def _difference(path: Path, entry: Any) -> str | None:
    if not isinstance(entry, dict) or entry.keys() != {"bytes", "sha256"}:
        return f"not in {CHECKSUMS}"
    if path.exists() and not path.is_file():
        return "a folder, pipe or device instead of a file"
    try:
        found = _fingerprint(path)
    except OSError as error:
        return str(error)
    if found["bytes"] != entry["bytes"]:
        return f"{found['bytes']} bytes instead of {entry['bytes']}"
    if found["sha256"] != entry["sha256"]:
        return f"SHA-256 {found['sha256'][:12]} instead of {str(entry['sha256'])[:12]}"
    return None


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


def _as_bytes(entries: dict[str, Any]) -> bytes:
    """Return checksums in the one form that is written, so that any other bytes are damage."""
    return (json.dumps(entries, indent=2) + "\n").encode()
