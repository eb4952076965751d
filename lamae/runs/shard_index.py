"""The index of a checkpoint that several processes wrote: which file has which rows of a tensor."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, NonNegativeInt, TypeAdapter, ValidationError

from lamae.errors import InputError
from lamae.files import read_json, unreadable

SHARDS = "shards.json"
"""Names, for each file of tensors that the checkpoint of one process has, the files instead."""


class Rows(NamedTuple):
    """Rows of a tensor that one file has."""

    file: str
    """Name of the file; the tensor has the same name in it."""
    start: int
    """The first row."""
    stop: int
    """The row after the last."""


class _Tensor(BaseModel):
    model_config = ConfigDict(extra="forbid")
    shape: list[NonNegativeInt]
    rows: list[tuple[str, NonNegativeInt, NonNegativeInt]]


_INDEX = TypeAdapter(dict[str, dict[str, _Tensor]])
Index = dict[str, dict[str, "Place"]]
"""By the file that one process would have written, and by the name of the tensor."""


class Place(NamedTuple):
    """A tensor whose rows may lie in several files."""

    shape: tuple[int, ...]
    """Shape of the whole; a tensor without dimensions counts as one row."""
    rows: tuple[Rows, ...]
    """The places of its rows, in order, each once."""

    def within(self, start: int, stop: int) -> tuple[Rows, ...]:
        """Return where the rows from `start` to before `stop` are."""
        cut = (Rows(r.file, max(r.start, start), min(r.stop, stop)) for r in self.rows)
        return tuple(rows for rows in cut if rows.start < rows.stop)

    def first_row(self, file: str) -> int:
        """Return the first row of those that a file has."""
        return next(rows.start for rows in self.rows if rows.file == file)


def shard_file(name: str, *, number: int, of: int) -> str:
    """Return the name of a process's file, as model-00002-of-00008.safetensors."""
    path = Path(name)
    return f"{path.stem}-{number + 1:05d}-of-{of:05d}{path.suffix}"


def index_document(parts: Iterable[Index]) -> dict[str, Any]:
    """Return the content of the index of what the processes have written, each its part."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for part in parts:
        for file, places in part.items():
            for name, place in places.items():
                empty = {"shape": list(place.shape), "rows": []}
                entry = found.setdefault(file, {}).setdefault(name, empty)
                entry["rows"] = sorted([*entry["rows"], *map(list, place.rows)], key=lambda r: r[1])
    return found


def read_index(folder: Path) -> Index | None:
    """Return the index of a folder, None where one process wrote it.

    Raises InputError where it is none, or rows are missing or there twice.
    """
    path = folder / SHARDS
    if not path.is_file():
        return None
    try:
        content: Mapping[str, Mapping[str, _Tensor]] = _INDEX.validate_python(read_json(path))
    except ValidationError as error:
        found = str(error).replace("\n", " ")[:1000]
        raise unreadable(path, found, expected="rows of tensors by file") from None
    return {
        file: {name: _place(path, name, tensor) for name, tensor in tensors.items()}
        for file, tensors in content.items()
    }


def _place(path: Path, name: str, tensor: _Tensor) -> Place:
    place = Place(tuple(tensor.shape), tuple(Rows(*rows) for rows in tensor.rows))
    expected, reached = (place.shape or (1,))[0], 0
    for rows in place.rows:
        if rows.start != reached or rows.stop <= rows.start or Path(rows.file).name != rows.file:
            raise _hole(path, name, rows.start, expected)
        reached = rows.stop
    if reached != expected:
        raise _hole(path, name, reached, expected)
    return place


def _hole(path: Path, name: str, row: int, expected: int) -> InputError:
    wanted = f"each of its {expected} rows once, in files of the folder"
    return unreadable(path, f"{name}, row {row}", expected=wanted)
