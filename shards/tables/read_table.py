"""Rows of a CSV file of any usual separator and encoding."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from lamae.errors import InputError

_DELIMITERS = ",;\t"
_BLOCK_BYTES = 2**20
_LONGEST_HEADER = 2**17
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "cp1252": "Latin-1", "latin-1": "Latin-1"}
_SEPARATORS = {"\t": "tab"}
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())


class Table(NamedTuple):
    """A CSV file with a header, not read yet."""

    path: Path
    """The file."""
    columns: tuple[str, ...]
    """Names of the columns, without blanks around."""
    delimiter: str
    """One of comma, semicolon and tab."""
    encoding: str
    """Name that Python has for it."""
    header_lines: int
    """Lines before the first row."""

    def rows(self) -> Iterator[dict[str, str]]:
        """Read row by row; raises InputError for a row that is shorter or longer than the header.

        Rows without any content are skipped.
        """
        for batch in self.batches():
            yield from batch.to_pylist()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read some rows at a time, all cells as texts, and otherwise as `rows`."""
        types = {name: pa.string() for name in self.columns}
        options = pa_csv.ReadOptions(
            use_threads=False,  # with threads, an error does not name its row
            skip_rows=self.header_lines,
            column_names=list(self.columns),
            encoding="utf-8" if self.encoding == "utf-8-sig" else self.encoding,
        )
        parse = pa_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True)
        convert = pa_csv.ConvertOptions(column_types=types, strings_can_be_null=False)
        try:
            with pa_csv.open_csv(self.path, options, parse, convert) as reader:
                for batch in reader:
                    yield _with_content(batch)
        except pa.ArrowInvalid as error:
            if "Empty CSV file" not in str(error):
                raise table_error(self.path, str(error).split("\n")[0]) from None
        except OSError as error:
            raise table_error(self.path, str(error)) from None

    def read(self) -> pa.Table:
        """Read all rows, texts that return stored once; raises what `rows` raises."""
        whole = pa.Table.from_batches(
            [_by_dictionary(batch) for batch in self.batches()],
            schema=pa.schema([(name, _DICTIONARY) for name in self.columns]),
        )
        return whole.unify_dictionaries()

    def describe(self) -> str:
        """Return encoding and separator, for a person."""
        separator = _SEPARATORS.get(self.delimiter, f"'{self.delimiter}'")
        return f"{_NAMES.get(self.encoding, 'UTF-16')}, separated by {separator}"


def _with_content(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Leave out the rows whose cells are all blank."""
    filled = np.zeros(len(batch), dtype=bool)
    for column in batch.columns:
        filled |= pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0).to_numpy(False)
        if filled.all():
            return batch
    return batch.filter(pa.array(filled))


def _by_dictionary(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [column.dictionary_encode() for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def open_table(path: Path, columns: Sequence[str] = ()) -> Table:
    """Find out encoding, separator and columns.

    Raises InputError for what is no table, or has not at least these columns.
    """
    if not path.is_file():  # a pipe or a device might never end
        raise table_error(path, "no such file" if not path.exists() else "no regular file")
    try:
        encoding = _encoding(path)
        with path.open(newline="", encoding=encoding) as file:
            start = file.read(_LONGEST_HEADER)
    except (OSError, UnicodeDecodeError) as error:
        raise table_error(path, str(error)) from None
    marked = start[:4].casefold() == "sep=" and start[5:6] in ("\r", "\n")
    first = start.split("\n", 1)[1] if marked else start
    line = first.partition("\n")[0]
    delimiter = start[4] if marked else max(_DELIMITERS, key=line.count)
    reader = csv.reader(io.StringIO(first), delimiter=delimiter, strict=True)
    try:
        found = tuple(name.strip() for name in next(reader, []))
    except csv.Error as error:
        raise table_error(path, f"its header: {error}") from None
    twice = [name for name, times in Counter(found).items() if times > 1]
    if twice or not any(found):
        raise table_error(path, f"two columns {twice[0]!r}" if twice else "no header")
    table = Table(path, found, delimiter, encoding, reader.line_num + marked)
    missing = [name for name in columns if name not in found]
    if missing:
        raise table_error(path, f"no column {', '.join(missing)} ({table.describe()})")
    return table


def read_csv(path: Path, columns: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Read the rows of a CSV file with a header that has at least these columns.

    Raises InputError for a missing or unreadable file, a missing column or a row of another length.
    """
    yield from open_table(path, columns).rows()


def table_error(
    path: Path, value: str, *, remedy: str = "Correct it, or name another."
) -> InputError:
    """Return the error for a table that cannot be used because of `value`."""
    return InputError(
        f"table {path}",
        value=value,
        expected="a CSV table as docs/reference/tables-of-labels.md describes it",
        remedy=remedy,
    )


def _encoding(path: Path) -> str:
    """Return the encoding that a byte order mark names, or the first that fits the whole file."""
    with path.open("rb") as file:
        start = file.read(4)
        for mark, name in _MARKS:
            if start.startswith(mark):
                return name
        if start[1:2] == b"\0" or start[:1] == b"\0":
            return "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"
        for name in ("utf-8", "cp1252"):
            file.seek(0)
            decoder = codecs.getincrementaldecoder(name)()
            try:
                while block := file.read(_BLOCK_BYTES):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
            return name
    return "latin-1"
