"""A folder appears whole or not at all, and its former content stays until then."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from lamae.files import whole_folder


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
