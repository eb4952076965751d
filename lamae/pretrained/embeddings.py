"""Embeddings of recordings as a file: .npz, .parquet or .csv."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lamae.errors import InputError
from lamae.files import open_whole, read_csv, write_csv

ENDINGS = (".npz", ".parquet", ".csv")
"""Endings of files of embeddings."""

_TEXTS = ("recording", "patient", "problem")


class Embeddings(NamedTuple):
    """Embeddings with the recordings that they are of."""

    names: tuple[str, ...]
    """Recording of each."""
    patients: tuple[str, ...]
    """Patient of each; empty where none is known."""
    problems: tuple[str, ...]
    """Reason why a recording has none; empty where it has."""
    values: Float[np.ndarray, "recordings width"]
    """float32; NaN where there is a problem."""

    @property
    def usable(self) -> "Embeddings":
        """Those without a problem."""
        kept = [number for number, problem in enumerate(self.problems) if not problem]
        names = tuple(self.names[number] for number in kept)
        patients = tuple(self.patients[number] for number in kept)
        return Embeddings(names, patients, ("",) * len(kept), self.values[kept])


def write_embeddings(path: Path, found: Embeddings) -> None:
    """Write embeddings in the form that the ending of the path names."""
    if path.suffix == ".npz":
        texts = {name: np.array(column) for name, column in zip(_TEXTS, found[:3], strict=True)}
        with open_whole(path) as file:
            np.savez_compressed(file, allow_pickle=False, embedding=found.values, **texts)
    elif path.suffix == ".parquet":
        _write_parquet(path, found)
    else:
        numbers = [f"e{number}" for number in range(found.values.shape[1])]
        rows = (
            [*texts, *(("",) * len(numbers) if texts[2] else row.tolist())]
            for *texts, row in zip(*found[:3], found.values, strict=True)
        )
        write_csv(path, [*_TEXTS, *numbers], rows)


def read_embeddings(path: Path) -> Embeddings:
    """Read what `write_embeddings` wrote; raises InputError for another file."""
    try:
        return _READERS[path.suffix](path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = "no such ending" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"embeddings {path}",
            value=found.splitlines()[0],
            expected=f"a file of `embed`, {', '.join(ENDINGS)}",
            remedy="Write it again by `embed`.",
        ) from None


def _write_parquet(path: Path, found: Embeddings) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, pa.Array] = {n: pa.array(c) for n, c in zip(_TEXTS, found[:3], strict=True)}
    width = found.values.shape[1]
    flat = pa.array(found.values.reshape(-1))
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(flat, width)
    with open_whole(path) as file:
        pq.write_table(pa.table(columns), file)


def _read_npz(path: Path) -> Embeddings:
    with np.load(path, allow_pickle=False) as content:
        names, patients, problems = (tuple(map(str, content[name])) for name in _TEXTS)
        return Embeddings(names, patients, problems, content["embedding"].astype(np.float32))


def _read_parquet(path: Path) -> Embeddings:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    column = table["embedding"].combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    names, patients, problems = (tuple(table[name].to_pylist()) for name in _TEXTS)
    return Embeddings(names, patients, problems, values.astype(np.float32))


def _read_csv(path: Path) -> Embeddings:
    header, rows = read_csv(path)
    numbers = header[len(_TEXTS) :]
    values = [[float(row[name] or "nan") for name in numbers] for row in rows]
    names, patients, problems = (tuple(row[name] for row in rows) for name in _TEXTS)
    return Embeddings(names, patients, problems, np.array(values, dtype=np.float32))


_READERS = {".npz": _read_npz, ".parquet": _read_parquet, ".csv": _read_csv}
