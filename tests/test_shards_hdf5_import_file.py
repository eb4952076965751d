"""A file of an export is taken as a stranger's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lamae.errors import InputError
from lamae.storage.corpus import MANIFEST
from shards.hdf5.export import export_shards
from shards.hdf5.import_file import import_shards
from shards.hdf5.settings import ExportSettings, ImportSettings


@pytest.fixture(scope="module")
def exported(simulated_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "all.h5"
    export_shards(ExportSettings(data=simulated_shards, output=path))
    return path


Change = Callable[[h5py.File], None]


def _replaced(name: str, change: Callable[[Any], Any]) -> Change:
    """Return a function that writes a dataset again with a changed first row, or all of it."""

    def apply(file: h5py.File) -> None:
        content, dtype = file[name][()], file[name].dtype
        del file[name]
        file.create_dataset(name, data=np.array(change(content), dtype=dtype), dtype=dtype)

    return apply


def _metadata(**changes: Any) -> Change:
    def change(rows: np.ndarray) -> np.ndarray:
        return np.array([json.dumps(json.loads(rows[0]) | changes).encode(), *rows[1:]])

    def apply(file: h5py.File) -> None:
        rows = change(file["metadata"][()])
        del file["metadata"]
        file["metadata"] = rows

    return apply


def _first_sample(signals: np.ndarray) -> np.ndarray:
    signals[0, 1, 3] += 1
    return signals


def _linked(file: h5py.File) -> None:
    del file["signals"]
    file["signals"] = h5py.ExternalLink("other.h5", "/signals")


def _manifest(text: bytes) -> Change:
    def apply(file: h5py.File) -> None:
        del file["manifest"]
        file["manifest"] = np.frombuffer(text, dtype=np.uint8)

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_replaced("signals", _first_sample), "other samples in recording 0"),
        (_metadata(key="../../escaped"), "a key has letters"),
        (_metadata(split="test"), "split 'test' in a shard of 'train'"),
        (_metadata(samples=10**12), "expected"),
        (_metadata(leads=["I", "I"]), "expected"),
        (_metadata(leads=7), "TypeError"),
        (_metadata(codec="pickle"), "expected"),
        (_metadata(gain=["a"] * 12), "expected"),
        (_replaced("metadata", lambda rows: rows[::-1]), "recording|recordings"),
        (_replaced("metadata", lambda rows: np.repeat(b"[1]", len(rows))), "metadata of recording"),
        (_replaced("shard", lambda rows: np.repeat(b"../../x.tar", len(rows))), "of shard"),
        (_replaced("shard", lambda rows: rows[::-1]), "of shard|in a shard of"),
        (_linked, "a link"),
        (_manifest(b"nonsense"), "format"),
        (_manifest(b'{"format": "lamae-shards-2", "shards": [{"file": "../x.tar"}]}'), "x.tar"),
    ],
)
def test_a_file_that_was_changed_is_refused_and_nothing_looks_finished(
    exported: Path, tmp_path: Path, change: Change, message: str
) -> None:
    path = tmp_path / "changed.h5"
    path.write_bytes(exported.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=message):
        import_shards(ImportSettings(source=path, output=tmp_path / "a" / "b" / "back", workers=1))
    assert not list(tmp_path.rglob(MANIFEST)) and not list(tmp_path.rglob("*escaped*"))


def test_a_file_of_others_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "tracings.h5", "w") as file:
        file["tracings"] = np.zeros((2, 12, 500))
    for name in ("tracings.h5", "absent.h5"):
        with pytest.raises(InputError, match=r"no array manifest|no absent"):
            import_shards(ImportSettings(source=tmp_path / name, output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
