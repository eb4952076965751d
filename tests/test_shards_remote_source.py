"""A remote folder of one's own: its files by content, their segments, and not what nobody needs."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lamae.remote.store import Store
from shards.build.run import build_shards
from shards.remote import source as remote_source
from shards.remote.build import build_remote_shards
from shards.settings import CommandSettings
from tests.test_lamae_readers_hospital_files import write_muse, write_sierra

LEADS = ("I", "II", "V1")


@pytest.fixture(autouse=True)
def _an_empty_store() -> Iterator[None]:
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def write_record(
    folder: Path, name: str, *, signal: str | None = None, ending: str = "hea"
) -> None:
    """Write a WFDB record of three leads and six seconds, its header in Latin-1."""
    digital = np.random.default_rng(len(name)).normal(0, 100, (600, 3)).astype("<i2")
    file = signal or f"{name}.dat"
    (folder / file).write_bytes(digital.tobytes())
    sums = digital.astype(int).sum(axis=0) % 2**16
    lines = [
        f"{file} 16 200/mV 16 0 {digital[0, i]} {sums[i]} 0 {lead}" for i, lead in enumerate(LEADS)
    ]
    text = "\n".join([f"{name} 3 100 600", *lines, "# Größe: 170 µ", ""])
    (folder / f"{name}.{ending}").write_bytes(text.encode("latin-1"))


def write_segments(folder: Path, name: str, *, ending: str = "hea") -> None:
    """Write a record of two segments around a gap."""
    for number in (1, 2):
        write_record(folder, f"{name}_{number}", ending=ending)
    text = f"{name}/3 3 100 1300\n{name}_1 600\n~ 100\n{name}_2 600\n"
    (folder / f"{name}.{ending}").write_text(text)


def write_csv(path: Path) -> None:
    rows = np.random.default_rng(1).normal(0, 1, (600, 2)).round(3)
    path.write_text("I,II\n" + "\n".join(f"{a},{b}" for a, b in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write recordings of many kinds, and large files that are none."""
    source = tmp_path / "source"
    source.mkdir()
    write_record(source, "Müller", signal="Geräusch.bin")
    write_record(source, "UPPER", ending="HEA")
    write_segments(source, "m")
    write_segments(source, "BIG", ending="HEA")
    write_muse(source / "a.xml")
    write_sierra(source / "b.xml")
    write_csv(source / "c.csv")
    (source / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(50_000))
    (source / "letter.pdf").write_bytes(b"%PDF-1.7\n" + b"x" * 50_000)
    return source


def settings(source: Path | str, output: Path) -> CommandSettings:
    values = {
        "source": source, "output": output, "workers": 1, "min_duration_s": 1,
        "arrays": {"sampling_rate": 100}, "split": {"train": 1, "val": 0, "test": 0},
    }  # fmt: skip
    return CommandSettings.model_validate(values)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "summary.json"
    }


@pytest.mark.parametrize("start_bytes", [2**20, 4096])
def test_a_remote_folder_of_any_files_gives_the_bytes_of_a_local_one(
    folder: Path, tmp_path: Path, start_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_source, "_START_BYTES", start_bytes)
    store, whole = Store("memory://bucket/rec"), []
    for path in folder.iterdir():
        store.send(path, path.name)
    fetch = Store.fetch

    def counted(
        self: Store, path: str, to: Path, *, size: int | None = None, first: int | None = None
    ) -> bool:
        if first is None:
            whole.append(path)
        return fetch(self, path, to, size=size, first=first)

    monkeypatch.setattr(Store, "fetch", counted)
    summary = build_remote_shards(settings(store.url, tmp_path / "out"))
    assert summary["records"] == 7
    assert summary["rejects"] == {"not_read": 2}
    build_shards(settings(folder, tmp_path / "here").in_folders(folder, tmp_path / "here"))
    assert digests(tmp_path / "out") == digests(tmp_path / "here")
    small = start_bytes < 50_000
    assert ("film.mp4" in whole, "letter.pdf" in whole) == (not small, not small)
    assert whole.count("a.xml") == whole.count("c.csv") == 1  # a recording comes once
