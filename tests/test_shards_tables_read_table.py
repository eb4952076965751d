import os
from pathlib import Path

import pytest

from lamae.errors import InputError
from shards.tables.read_table import open_table, read_csv

ROWS = [
    {"file": "a", "who": "Müller", "what": "AF; VT"},
    {"file": "b", "who": "", "what": 'said "no",\nthen yes'},
]


def text_of(separator: str) -> str:
    """Write the rows as a spreadsheet does, every cell in quotes."""
    lines = [["file", "who", "what"], *([row[n] for n in row] for row in ROWS)]
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in lines]
    return "".join(separator.join(line) + "\r\n" for line in quoted)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"]
)
def test_separators_and_encodings_of_spreadsheets_give_the_same_rows(
    tmp_path: Path, separator: str, encoding: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text_of(separator).encode(encoding))
    assert list(read_csv(path, ("file", "who"))) == ROWS


def test_a_first_line_may_name_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sep=;\nfile;note\na;1,5, or so\n")
    assert list(read_csv(path)) == [{"file": "a", "note": "1,5, or so"}]


def test_a_message_names_separator_and_encoding(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("Datei;Gr\u00f6\u00dfe\na;1\n".encode("latin-1"))
    assert open_table(path).describe() == "Latin-1, separated by ';'"
    with pytest.raises(InputError, match=r"no column file \(Latin-1, separated by ';'\)"):
        list(read_csv(path, ("file",)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3\n", r"Row #3: Expected 2 columns, got 1"),
        ("a,b\n1,2\n3,4,5\n", r"Row #3: Expected 2 columns, got 3"),
        ("a,a\n1,2\n", "two columns 'a'"),
        ("", "no header"),
        ("\n\n", "no header"),
    ],
)
def test_a_table_of_another_shape_is_refused_by_row(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        list(read_csv(path))


def test_rows_without_any_content_are_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n,\n1,2\n\n , \n")
    assert list(read_csv(path)) == [{"a": "1", "b": "2"}]


def test_a_pipe_is_no_table_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(InputError, match="no regular file"):
        open_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match="no such file"):
        open_table(tmp_path / "u.csv")
