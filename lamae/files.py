"""Files and folders that appear whole or not at all."""

import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lamae.errors import InputError
from lamae.faults import of_file
from lamae.readers.regular_files import read_bounded

_MAX_JSON_BYTES = 2**28
_FORMULA = ("=", "+", "-", "@")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?")


@contextmanager
def open_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name only once it is complete and on disk."""
    make_folder(path.parent)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with of_file(path), partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync(path.parent)
    finally:
        with suppress(OSError):  # what kept the file from being written is the error to tell
            partial.unlink()


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people: indented, whole or not at all."""
    with open_whole(path) as file:
        file.write(json_bytes(content))


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; raises InputError if it is no JSON object."""
    try:
        content = json.loads(read_bounded(path, max_bytes=_MAX_JSON_BYTES))
    except (ValueError, OSError, RecursionError) as error:
        raise unreadable(path, error, expected="a whole JSON file") from None
    if not isinstance(content, dict):
        raise unreadable(path, type(content).__name__, expected="a JSON object")
    return content


def json_bytes(content: Any) -> bytes:
    """Return JSON for people: indented, with a line's end."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file for people and spreadsheets, whole or not at all.

    A text that a spreadsheet would run as a formula begins with an apostrophe, and characters that
    would steer a terminal are escaped; numbers stay as they are.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_harmless(cell) for cell in header])
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    with open_whole(path) as file:
        file.write(text.getvalue().encode())


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of a file that `write_csv` wrote, and its rows with texts as they were.

    Raises ValueError where it has no rows, or some that are cut off, csv.Error where it is no CSV.
    """
    with path.open(newline="") as file:
        header, *rows = [*csv.reader(file, strict=True)] or [[]]
    if not rows or any(len(row) != len(header) for row in rows):
        raise ValueError(f"{path.name} has no rows, or some that are cut off")
    columns = [_bare(name) for name in header]
    return columns, [dict(zip(columns, map(_bare, row), strict=True)) for row in rows]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_existing(output: Path, *, kind: str) -> None:
    """Raise InputError where an output exists that is to be a new file, or a new folder."""
    if output.exists():
        raise InputError(
            f"output {output}",
            value="it exists",
            expected=f"the name of a new {kind}",
            remedy="Name another output=, or remove it.",
        )


def unreadable(path: Path, found: object, *, expected: str) -> InputError:
    """Return the error of a file that cannot be read."""
    return InputError(
        f"file {path}",
        value=str(found),
        expected=expected,
        remedy="Copy the folder again, or use another checkpoint.",
    )


def printable(text: str) -> str:
    """Return a text whose control characters and halves of characters are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _harmless(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return f"'{text}" if _is_formula(text) else text


def _bare(cell: str) -> str:
    """Return a text without the apostrophe that keeps it from being a formula."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(text: str) -> bool:
    """Return True for a text that a spreadsheet would compute, but for a number."""
    return text.lstrip("'").startswith(_FORMULA) and not _NUMBER.fullmatch(text)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that takes its name only once everything in it is on disk.

    A folder that bears the name already is kept until then: an interruption leaves the one or
    the other, and what it left half done is put right the next time.
    """
    partial, former = (path.with_name(f"{path.name}.{end}") for end in ("partial", "former"))
    _settle(path, former)
    try:
        with of_file(path), _filled(partial):
            yield partial
        if path.exists():
            path.rename(former)
        partial.rename(path)
        _sync(path.parent)
    finally:
        _settle(path, former)
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def fresh_folder(path: Path, partial: Path, *, permit: Callable[[], None]) -> Iterator[Path]:
    """Fill the folder `partial`, which then takes the name `path`, if no other folder has it.

    `permit` is called last of all before that, and may raise. Raises FileExistsError if there is
    such a folder: what bears the name is never replaced.
    """
    try:
        with of_file(path):
            empty_folder(partial)
            yield partial
        publish(partial, path, permit=permit)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def empty_folder(partial: Path) -> None:
    """Make an empty folder, for what takes its name once it is complete."""
    make_folder(partial.parent)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()


def publish(partial: Path, path: Path, *, permit: Callable[[], None]) -> None:
    """Put all of the folder `partial` on disk, then give it the name `path`; see `fresh_folder`."""
    with of_file(path):
        _sync_all(partial)
    permit()
    try:
        partial.rename(path)  # by POSIX, fails where `path` is a folder with content
    except OSError:
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        raise
    _sync(path.parent)


def move_folder(path: Path, target: Path) -> None:
    """Give a folder another name beside the old one, for good."""
    path.rename(target)
    _sync(target.parent)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if need be, for good."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        _sync(folder.parent)


@contextmanager
def _filled(partial: Path) -> Iterator[None]:
    """Make an empty folder; put all that was written in it on disk."""
    empty_folder(partial)
    yield
    _sync_all(partial)


def _sync_all(folder: Path) -> None:
    for written in (*folder.rglob("*"), folder):
        _sync(written)


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
