"""Rows of tables find the places of their recordings, and are taken in the recordings' order."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shards.entries import TEXT, as_texts
from shards.repeated import texts_of

_ROWS_AT_ONCE = 2**14

Columns = dict[str, pa.ChunkedArray]
"""Columns of a listing by name, all of one length."""


class Rows(NamedTuple):
    """The row of a table for each recording, and the rows that are for none."""

    of: np.ndarray
    """int32 (recordings,): number of the row, -1 where there is none."""
    unknown: np.ndarray
    """Numbers of the rows whose name is that of no recording, or of one that had a row."""


def places_of(names: pa.ChunkedArray, recordings: pa.ChunkedArray) -> np.ndarray:
    """Return for each name its first place among those of the recordings, -1 where it is none.

    Sorted hashes take a fifth of a table of texts; what they find is compared.
    """
    own = _hashes(recordings)
    order = np.argsort(own, kind="stable").astype(np.int32)
    own = own[order]
    wanted = _hashes(names)
    if not len(own):
        return np.full(len(wanted), -1, dtype=np.int32)
    at_least = np.searchsorted(own, wanted).clip(max=len(own) - 1).astype(np.int32)
    places = np.where(own[at_least] == wanted, order[at_least], np.int32(-1))
    found = np.flatnonzero(places >= 0)
    for start in range(0, len(found), _ROWS_AT_ONCE):
        some = found[start : start + _ROWS_AT_ONCE]
        same = pc.equal(names.take(pa.array(some)), recordings.take(pa.array(places[some])))
        places[some[~np.asarray(same)]] = -1
    return places


def _hashes(column: pa.ChunkedArray) -> np.ndarray:
    return np.fromiter(map(hash, texts_of(column)), dtype=np.int64, count=len(column))


def first_rows(places: np.ndarray, recordings: int) -> Rows:
    """Return the first row of each recording; those after it are unknown."""
    backwards = np.arange(len(places), dtype=np.int32)[::-1]
    rows = last_rows(places, recordings, backwards)
    known = places >= 0
    known[known] = rows[places[known]] == np.flatnonzero(known)
    return Rows(rows, np.flatnonzero(~known))


def last_rows(places: np.ndarray, recordings: int, numbers: np.ndarray | None = None) -> np.ndarray:
    """Return the last row of each recording, in the order of `numbers`."""
    numbers = np.arange(len(places), dtype=np.int32) if numbers is None else numbers
    rows = np.full(recordings, -1, dtype=np.int32)
    known = numbers[places[numbers] >= 0]
    rows[places[known]] = known
    return rows


def taken(
    columns: Columns, rows: np.ndarray, missing: Mapping[str, str] = MappingProxyType({})
) -> Columns:
    """Take rows of columns, and a null for -1, or the text that `missing` has for a column.

    The columns are taken out of `columns` one by one, so that they are in memory twice one by one.
    """
    in_order = np.array_equal(rows, np.arange(len(next(iter(columns.values()), ()))))
    places = None if in_order else pa.array(rows, mask=rows < 0)
    found = {}
    for name in list(columns):
        column = columns.pop(name)
        if places is not None:
            column = pa.chunked_array([column.unify_dictionaries().combine_chunks().take(places)])
        if name in missing and column.null_count:
            column = pc.fill_null(as_texts(column), missing[name]).dictionary_encode()
        found[name] = column
    return found


def mapped(function: Callable[[str], str], column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return what a function makes of each text of a column, some thousand at a time."""
    pieces = (batch.column(0) for batch in pa.table({"": column}).to_batches(_ROWS_AT_ONCE))
    parts = [pa.array([function(text) for text in piece.to_pylist()], TEXT) for piece in pieces]
    return pa.chunked_array(parts, TEXT)


def constant(value: pa.Scalar, rows: int) -> pa.ChunkedArray:
    """Return a column that has one value in all rows."""
    return pa.chunked_array([pa.repeat(value, rows)])


def columns_in(table: pa.Table) -> Columns:
    """Return the columns of a table by name."""
    return dict(zip(table.column_names, table.columns, strict=True))


def chosen(mask: np.ndarray, columns: Columns, others: Columns) -> Columns:
    """Return columns that have a row of `columns` where the mask is True, and of `others` else."""
    where, found = pa.array(mask), dict(columns)
    for name, other in others.items():
        own = as_texts(columns[name]) if name in columns else pa.scalar(None, TEXT)
        found[name] = pc.if_else(where, own, as_texts(other)).dictionary_encode()
    return found


def at(column: pa.ChunkedArray, rows: np.ndarray) -> Iterator[str]:
    """Yield the texts of some rows of a column."""
    return texts_of(column.take(pa.array(rows)))
