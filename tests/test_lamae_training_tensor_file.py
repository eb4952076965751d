"""A file of tensors is the one that safetensors itself writes, and its hash that of its bytes."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lamae.training import tensor_file
from lamae.training.tensor_file import write_tensors


def test_the_file_of_floats_is_the_one_of_safetensors_to_the_byte(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {
        "b.weight": torch.randn(5, 3),
        "a": torch.randn(7),
        "step": torch.tensor(3.0),
        "herz-ü": torch.randn(2, 0),
    }
    found = write_tensors(tmp_path / "ours", tensors)
    save_file(tensors, tmp_path / "theirs")
    ours = (tmp_path / "ours").read_bytes()
    assert ours == (tmp_path / "theirs").read_bytes()
    assert found == {"bytes": len(ours), "sha256": hashlib.sha256(ours).hexdigest()}


@pytest.mark.parametrize("chunk", [1, 64, 2**24])
def test_tensors_of_every_type_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(tensor_file, "_CHUNK_BYTES", chunk)
    tensors = {
        str(kind): (torch.arange(6).reshape(2, 3) % 2).to(kind) for kind in tensor_file._TYPES
    }
    found = write_tensors(tmp_path / "file", tensors)
    read = load_file(tmp_path / "file")
    assert read.keys() == tensors.keys()
    for name, value in tensors.items():
        assert read[name].dtype == value.dtype and torch.equal(read[name], value)
    content = (tmp_path / "file").read_bytes()
    assert found["sha256"] == hashlib.sha256(content).hexdigest()


def test_no_tensors_are_a_file_too(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {})
    assert load_file(tmp_path / "file") == {}
