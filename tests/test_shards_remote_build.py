"""Remote places: the same bytes as from folder to folder, whatever the network does."""

import hashlib
import os
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lamae.errors import InputError
from lamae.remote import attempts
from lamae.remote.store import Store
from lamae.storage.corpus import MANIFEST, Corpus
from shards.build.run import build_shards
from shards.entries import BUILDING
from shards.remote.build import UPLOADING, build_remote_part, build_remote_shards
from shards.settings import CommandSettings
from shards.simulator.data_set import simulate
from shards.simulator.settings import SimulateSettings
from tests.conftest import small_build

PROGRAM = Path(__file__).resolve().parents[1] / "shards" / "main.py"
WRITTEN_WITH_TIMES = ("summary.json",)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulate 24 recordings; one is damaged, one names another's signal file."""
    folder = tmp_path_factory.mktemp("remote") / "recordings"
    simulate(SimulateSettings(output=folder, records=24, sampling_rate=100, duration_s=5))
    headers = sorted(folder.rglob("*.hea"))
    headers[3].write_text("nothing of use")
    moved = headers[5].with_suffix(".dat")
    moved.rename(moved.with_name("signal.bin"))
    headers[5].write_text(headers[5].read_text().replace(moved.name, "signal.bin"))
    return folder


@pytest.fixture(autouse=True)
def _without_waiting_and_with_an_empty_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(attempts, "DELAYS_S", (0.0, 0.0, 0.0))
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def put(folder: Path, url: str) -> str:
    """Copy a folder into the store in memory."""
    store = Store(url)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.send(path, path.relative_to(folder).as_posix())
    return url


def settings(source: Path | str, output: Path | str, **changes: Any) -> CommandSettings:
    return CommandSettings.model_validate(small_build(source, output, **changes))


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in WRITTEN_WITH_TIMES
    }


def remote_digests(url: str) -> dict[str, str]:
    store = Store(url)
    contents = {path: store.read(path) for path in store.list(recursive=True)}
    return {
        path: hashlib.sha256(content or b"").hexdigest()
        for path, content in contents.items()
        if path not in WRITTEN_WITH_TIMES
    }


def local(given: CommandSettings, source: Path, output: Path) -> dict[str, str]:
    build_shards(given.in_folders(source, output))
    return digests(output)


@pytest.fixture(scope="module")
def whole(recordings: Path) -> dict[str, str]:
    """Build from a folder to a folder."""
    output = recordings.parent / "whole"
    return local(settings(recordings, output), recordings, output)


@pytest.mark.parametrize("kind", ["mimic_iv_ecg", "folder", "challenge"])
def test_from_one_store_to_another_the_bytes_are_those_of_folders(
    recordings: Path, tmp_path: Path, kind: str
) -> None:
    source = put(recordings, "memory://bucket/recordings")
    given = settings(source, "memory://bucket/shards/", scratch=tmp_path, source_kind=kind)
    summary = build_remote_shards(given)
    assert remote_digests("memory://bucket/shards") == local(given, recordings, tmp_path / "here")
    assert summary["config"]["source"] == source
    assert summary["rejects"]["unreadable_header"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]  # scratch is left empty


def test_one_file_of_many_recordings_is_fetched_once_and_kept_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    draws = np.random.default_rng(0).integers(-900, 900, (9, 12, 600)).astype(np.int16)
    with h5py.File(folder / "all.h5", "w") as file:
        file["tracings"] = draws
    fetched = []
    fetch = Store.fetch

    def counted(self: Store, path: str, to: Path, *, size: int | None = None) -> bool:
        fetched.append(path)
        return fetch(self, path, to, size=size)

    monkeypatch.setattr(Store, "fetch", counted)
    source = put(folder, "memory://one")
    arrays = {"sampling_rate": 100, "gain": 200}
    changes = {"source_kind": "hdf5", "arrays": arrays, "shard_records": 2}
    given = settings(source, tmp_path / "out", **changes)
    build_remote_shards(given)
    assert digests(given.output) == local(given, folder, tmp_path / "here")  # type: ignore[arg-type]
    assert fetched == ["all.h5"]


def test_a_store_that_fails_three_times_for_every_third_file_gives_the_same_bytes(
    recordings: Path, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = put(recordings, "memory://bucket/recordings")
    calls, opened = Counter[str](), MemoryFileSystem._open

    def flaky(self: MemoryFileSystem, path: str, *arguments: Any, **named: Any) -> Any:
        calls[path] += 1  # by path: the order in which threads call is not repeatable
        if zlib.crc32(path.encode()) % 3 == 0 and calls[path] <= 3:
            raise ConnectionResetError("reset by peer")
        return opened(self, path, *arguments, **named)

    monkeypatch.setattr(MemoryFileSystem, "_open", flaky)
    build_remote_shards(settings(source, "memory://bucket/shards", scratch=tmp_path))
    monkeypatch.undo()
    assert sum(count > 3 for count in calls.values()) > 10
    assert remote_digests("memory://bucket/shards") == whole


def test_a_store_that_stops_answering_is_named_and_the_build_goes_on_from_there(
    recordings: Path, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = put(recordings, "memory://bucket/recordings"), tmp_path / "out"
    opened, left = MemoryFileSystem._open, 30

    def silent(self: MemoryFileSystem, *arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise TimeoutError("no answer")
        return opened(self, *arguments, **named)

    monkeypatch.setattr(MemoryFileSystem, "_open", silent)
    with pytest.raises(InputError, match=r"memory://bucket/recordings/files.*no answer.*goes on"):
        build_remote_shards(settings(source, output))
    kept = {path: path.stat().st_mtime_ns for path in (output / BUILDING).glob("*.tar")}
    assert kept and not list((output / BUILDING).rglob("*.dat"))
    left = 10_000
    build_remote_shards(settings(source, output))
    assert digests(output) == whole
    assert {(output / path.name).stat().st_mtime_ns for path in kept} == set(kept.values())


def test_an_upload_that_was_cut_short_sends_only_the_rest(
    recordings: Path, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(recordings, "memory://bucket/shards", scratch=tmp_path)
    sent: list[str] = []
    send, tars = Store.send, 2

    def cut(self: Store, file: Path, path: str) -> None:
        if path.endswith(".tar") and sum(name.endswith(".tar") for name in sent) == tars:
            raise KeyboardInterrupt
        sent.append(path)
        send(self, file, path)

    monkeypatch.setattr(Store, "send", cut)
    with pytest.raises(KeyboardInterrupt):
        build_remote_shards(given)
    store = Store("memory://bucket/shards")
    assert UPLOADING in store.list(recursive=False)
    assert MANIFEST not in store.list(recursive=False)
    first = [path for path in sent if path.endswith(".tar")]
    tars = len(whole)
    sent.clear()
    build_remote_shards(given)
    assert remote_digests("memory://bucket/shards") == whole
    assert first and not set(first) & set(sent)
    sent.clear()
    assert build_remote_shards(given)["records"] == 23  # all is there: nothing is sent
    assert not sent


def test_a_place_of_others_is_left_alone(recordings: Path, tmp_path: Path) -> None:
    store = Store("memory://bucket/shards")
    store.write("thesis.docx", b"mine")
    with pytest.raises(InputError, match=r"1 other files are in it, such as thesis.docx"):
        build_remote_shards(settings(recordings, store.url, scratch=tmp_path / "a"))
    store.remove("thesis.docx")
    build_remote_shards(settings(recordings, store.url, scratch=tmp_path / "b"))
    before = remote_digests(store.url)
    other = settings(recordings, store.url, scratch=tmp_path / "b", shard_records=5)
    with pytest.raises(InputError, match="finished shards of another source"):
        build_remote_shards(other)
    assert remote_digests(store.url) == before


def test_a_folder_of_others_gets_no_file_of_a_remote_source(
    recordings: Path, tmp_path: Path
) -> None:
    source = put(recordings, "memory://bucket/recordings")
    (tmp_path / "thesis.docx").write_text("mine")
    with pytest.raises(InputError, match="1 other files"):
        build_remote_shards(settings(source, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


def test_parts_of_a_remote_source_merge_to_the_same_bytes(
    recordings: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    from shards.build.merge import merge_blocks

    source = put(recordings, "memory://bucket/recordings")
    for part in (1, 0):
        build_remote_part(settings(source, tmp_path / "out", part=part, parts=2))
    merge_blocks(tmp_path / "out")
    assert digests(tmp_path / "out") == whole


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as where it is not installed
    with pytest.raises(InputError, match="pip install s3fs"):
        build_remote_shards(settings("s3://bucket/mimic", tmp_path / "out"))
    assert not list((tmp_path / "out").iterdir())


def test_the_program_reads_a_web_server_and_a_file_url(
    recordings: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    script = "import http.server as s; h = s.ThreadingHTTPServer(('127.0.0.1', 0), "
    script += "s.SimpleHTTPRequestHandler); print(h.server_port, flush=True); h.serve_forever()"
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=recordings, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            common = ["source_kind=mimic_iv_ecg", "split={train: 0.7, val: 0.3, test: 0.0}",
                      "shard_records=7", "workers=2"]  # fmt: skip
            places = [f"source={url}", f"output=file://{tmp_path}/shards", "scratch=here"]
            done = subprocess.run(
                [sys.executable, str(PROGRAM), *common, *places],
                cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False,
            )  # fmt: skip
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "shards") == whole
    assert len(Corpus(tmp_path / "shards")) == 23
