import os
from pathlib import Path

import pytest

from lamae.settings.strict_yaml import YamlError, read_mapping


def problem(path: Path) -> str:
    with pytest.raises(YamlError) as caught:
        read_mapping(path)
    return str(caught.value)


UNREADABLE = {
    "{[a]: 1}: 2\n": "a key that is a list",
    "? [lr]\n: 2\n": "a key that is a list",
    "lr: !!int x\n": "no int",
    "lr: !!float x\n": "no float",
    "lr: !!bool x\n": "no bool",
    "lr: !!timestamp x\n": "no timestamp",
    "lr: !!binary x\n": "not valid YAML",
    "lr: !!python/object/apply:os.getcwd []\n": "not valid YAML",
    "folder: 2024-02-30\n": "no timestamp",
    f"lr: {'9' * 6000}\n": "no int",
    f"lr: 0x{'f' * 6000}\n": "no int",
    f"lr: {'[' * 100_000}\n": "levels",
    f"{'{a: ' * 5000}\n": "levels",
    "lr: &x 3\nfolder: *x\n": "an alias, *x",
    "lr: &x [*x]\n": "an alias, *x",
    "<<: [1]\n": "constructor",
    'lr: "\\ud800"\n': "",
    "lr: \t- x\n\t": "not valid YAML",
    "---\nlr: 1\n---\nlr: 2\n": "not valid YAML",
    "lr: 1\n" * 200_000: "1 MiB",
}


@pytest.mark.parametrize("content", UNREADABLE, ids=range(len(UNREADABLE)))
def test_yaml_that_cannot_be_settings_ends_in_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.yaml").write_text(content)
    said = problem(tmp_path / "a.yaml")
    assert UNREADABLE[content] in said and len(said) < 400


def test_a_billion_laughs_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    assert "an alias, *a0" in problem(tmp_path / "a.yaml")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-32"])
def test_a_file_in_another_encoding_is_told_to_be_utf_8(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.yaml").write_bytes("folder: Käse\n".encode(encoding))
    assert "not text in UTF-8" in problem(tmp_path / "a.yaml")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_that_names_its_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.yaml").write_bytes("folder: Käse\n".encode(encoding))
    assert read_mapping(tmp_path / "a.yaml") == {"folder": "Käse"}


def test_a_folder_a_pipe_and_a_device_are_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    for name in ("folder", "pipe", "device"):
        assert problem(tmp_path / f"{name}.yaml").endswith(
            f"{name}.yaml: not a file. Give the path of a configuration."
        )
    assert "cannot be read" in problem(tmp_path / f"{'x' * 300}.yaml")
