"""Damage to any file of a folder with checksums is found and named."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamae.errors import InputError
from lamae.runs.checksums import (
    CHECKSUMS,
    damage,
    read_checksums,
    verify_checksums,
    write_checksums,
)

CONTENTS = {"config.json": b'{"a": 1}\n', "model.safetensors": bytes(range(256)), "empty": b""}


@pytest.fixture(scope="module")
def folder_with_checksums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checked")
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    write_checksums(folder)
    return folder


def found(folder: Path) -> str | None:
    return damage(folder, needs=("config.json", "model.safetensors"))


def test_checksums_are_what_other_tools_say_of_the_files(folder_with_checksums: Path) -> None:
    entries = json.loads((folder_with_checksums / CHECKSUMS).read_text())
    assert entries == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in CONTENTS.items()
    }
    assert found(folder_with_checksums) is None


@given(st.data())
def test_a_flipped_bit_in_any_file_is_found(
    folder_with_checksums: Path, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["config.json", "model.safetensors", CHECKSUMS]))
    whole = (folder_with_checksums / name).read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    (folder_with_checksums / name).write_bytes(flipped)
    try:
        assert found(folder_with_checksums)
        if name != CHECKSUMS:
            assert f"file {name}: " in str(found(folder_with_checksums))
    finally:
        (folder_with_checksums / name).write_bytes(whole)
    assert found(folder_with_checksums) is None


def test_every_flipped_bit_of_the_seal_itself_is_found(folder_with_checksums: Path) -> None:
    whole = (folder_with_checksums / CHECKSUMS).read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        (folder_with_checksums / CHECKSUMS).write_bytes(flipped)
        assert found(folder_with_checksums), f"bit {bit}"
    (folder_with_checksums / CHECKSUMS).write_bytes(whole)


def test_what_is_missing_cut_or_not_sealed_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert str(found(tmp_path)).startswith(f"no {CHECKSUMS}")
    write_checksums(tmp_path)
    assert found(tmp_path) == f"file model.safetensors: not in {CHECKSUMS}"
    (tmp_path / "model.safetensors").write_bytes(b"1234")
    write_checksums(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"123")
    assert found(tmp_path) == "file model.safetensors: 3 bytes instead of 4"
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: .*No such file.*; expected every"):
        verify_checksums(tmp_path, needs=("config.json",))


@pytest.fixture
def copied(folder_with_checksums: Path, tmp_path: Path) -> Path:
    """Copy the folder, to change it."""
    return Path(shutil.copytree(folder_with_checksums, tmp_path / "copied"))


@pytest.mark.parametrize("kind", ["pipe", "zeros"])
def test_a_pipe_or_device_in_the_place_of_a_file_is_named_and_not_read(
    copied: Path, kind: str
) -> None:
    name = next(iter(read_checksums(copied)))
    (copied / name).unlink()
    if kind == "pipe":
        os.mkfifo(copied / name)
    else:
        (copied / name).symlink_to("/dev/zero")
    found = damage(copied, needs=())
    assert found == f"file {name}: a folder, pipe or device instead of a file"


@pytest.mark.parametrize("name", ["../other", "/dev/zero", "a/b"])
def test_a_name_that_leads_out_of_the_folder_is_not_followed(copied: Path, name: str) -> None:
    entries = read_checksums(copied) | {name: {"bytes": 1, "sha256": "x"}}
    (copied / CHECKSUMS).write_text(json.dumps(entries, indent=2) + "\n")
    assert f"{name} is no name of a file" in str(damage(copied, needs=()))


def test_checksums_that_are_nested_without_end_are_damage(copied: Path) -> None:
    (copied / CHECKSUMS).write_text('{"a":' * 100_000)
    assert damage(copied, needs=())


def test_a_file_added_later_is_let_be(tmp_path: Path) -> None:
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    write_checksums(tmp_path)
    (tmp_path / "README.md").write_text("A model card")
    assert found(tmp_path) is None
