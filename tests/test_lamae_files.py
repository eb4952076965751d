"""A folder appears whole or not at all, and its former content stays until then."""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamae.files import fresh_folder, read_csv, whole_folder, write_csv, write_json


def fill(folder: Path, text: str, *, fail: bool = False) -> None:
    with whole_folder(folder) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "note").write_text(text)
        if fail:
            raise ValueError("while writing")


def content(parent: Path) -> dict[str, str]:
    files = (path for path in parent.rglob("*") if path.is_file())
    return {str(path.relative_to(parent)): path.read_text() for path in files}


def test_a_folder_appears_whole_and_replaces_the_former(tmp_path: Path) -> None:
    for text in ("old", "new"):
        fill(tmp_path / "a", text)
        assert content(tmp_path) == {"a/inner/note": text}
    with pytest.raises(ValueError, match="while writing"):
        fill(tmp_path / "a", "newer", fail=True)
    assert content(tmp_path) == {"a/inner/note": "new"}


def test_the_former_folder_is_never_removed_before_the_new_one_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks at the disk before each removal and each change of name, as a kill there would."""
    fill(tmp_path / "a", "old")
    seen = []

    def spy(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def looked(*arguments: Any, **options: Any) -> Any:
            seen.append(set(content(tmp_path).values()))
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, looked)

    spy(Path, "rename")
    spy(shutil, "rmtree")
    fill(tmp_path / "a", "new")
    assert len(seen) >= 3
    assert all(found & {"old", "new"} for found in seen)
    assert content(tmp_path) == {"a/inner/note": "new"}


def test_a_folder_set_aside_by_a_killed_program_comes_back(tmp_path: Path) -> None:
    fill(tmp_path / "a", "old")
    (tmp_path / "a").rename(tmp_path / "a.former")
    (tmp_path / "a.partial").mkdir()
    with pytest.raises(ValueError, match="while writing"):
        fill(tmp_path / "a", "new", fail=True)
    assert content(tmp_path) == {"a/inner/note": "old"}
    shutil.copytree(tmp_path / "a", tmp_path / "a.former")
    fill(tmp_path / "a", "new")
    assert content(tmp_path) == {"a/inner/note": "new"}


def fill_fresh(folder: Path, text: str, permit: Callable[[], None] = lambda: None) -> None:
    partial = folder.with_name("partial")
    with fresh_folder(folder, partial, permit=permit):
        (partial / "note").write_text(text)


def test_a_fresh_folder_replaces_nothing(tmp_path: Path) -> None:
    fill_fresh(tmp_path / "deep" / "a", "old")
    with pytest.raises(FileExistsError, match="a exists"):
        fill_fresh(tmp_path / "deep" / "a", "new")
    assert content(tmp_path) == {"deep/a/note": "old"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a"]


def test_a_fresh_folder_takes_its_name_only_by_permission(tmp_path: Path) -> None:
    def refuse() -> None:
        assert content(tmp_path) == {"partial/note": "text"}
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        fill_fresh(tmp_path / "a", "text", refuse)
    assert not list(tmp_path.iterdir())


def test_every_new_file_and_folder_is_put_on_disk_and_so_is_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks at what each call of fsync is for: a folder's puts the names in it on disk."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    folder = tmp_path / "b" / "c"
    fill_fresh(folder, "text")
    partial = folder.with_name("partial")
    assert set(map(str, (partial / "note", partial, folder.parent, tmp_path))) <= set(synced)
    assert synced[-1] == str(folder.parent)
    write_json(tmp_path / "d" / "e.json", {})
    assert synced[-3:] == [
        str(tmp_path),
        str(tmp_path / "d" / "e.json.partial"),
        str(tmp_path / "d"),
    ]


def test_a_text_that_is_a_formula_is_harmless_in_a_spreadsheet_and_comes_back(
    tmp_path: Path,
) -> None:
    texts = ["=1+1", "+A1", "-x", "@sum", "'=1", "-", "-0.5", "+1e-05", "plain", "'quoted", "a=b"]
    write_csv(tmp_path / "t.csv", ["key", "-class", "number"], [[t, 1, -0.5] for t in texts])
    header, *lines = (tmp_path / "t.csv").read_text().splitlines()
    assert header == "key,'-class,number"
    cells = [line.split(",")[0] for line in lines]
    assert [cell for cell in cells if cell[0] in "=+-@"] == ["-0.5", "+1e-05"]  # numbers
    assert all(line.endswith(",1,-0.5") for line in lines)
    columns, rows = read_csv(tmp_path / "t.csv")
    assert columns == ["key", "-class", "number"]
    assert [row["key"] for row in rows] == texts


@pytest.mark.parametrize("content", ["", "key,a\n", "key,a\nx\n", "key,a\nx,1,2\n"])
def test_a_table_that_is_cut_off_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match="no rows, or some that are cut off"):
        read_csv(tmp_path / "t.csv")


def test_cells_that_a_spreadsheet_would_run_or_a_terminal_obey_are_harmless(tmp_path: Path) -> None:
    rows = [
        ("=cmd|' /C calc'!A0", -1.5),
        ("+1;x", 2),
        ("@SUM(A1)", 3),
        ("-x", -4),
        ("a\x1b[31m", 5),
    ]
    write_csv(tmp_path / "t.csv", ("name", "-value"), rows)
    with (tmp_path / "t.csv").open(newline="") as file:
        found = list(csv.reader(file))
    assert found == [
        ["name", "'-value"],
        ["'=cmd|' /C calc'!A0", "-1.5"],
        ["'+1;x", "2"],
        ["'@SUM(A1)", "3"],
        ["'-x", "-4"],
        ["a\\x1b[31m", "5"],
    ]


def test_a_half_of_a_character_in_a_name_is_written_as_an_escape(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("name",), [("\udcff, \u00fc\n",)])
    assert (tmp_path / "t.csv").read_text() == 'name\n"\\udcff, \u00fc\\n"\n'
