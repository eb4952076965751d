"""A cache folder: shared by processes, within its limit, and whole whatever is killed."""

import hashlib
import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lamae.errors import InputError, PlaceError
from lamae.remote import store
from lamae.remote.cache import Cache
from lamae.remote.cache_folder import Content
from tests.test_lamae_remote_cache import Server, kept, until
from tests.test_lamae_remote_cache import files as files
from tests.test_lamae_remote_cache import impatient as impatient
from tests.test_lamae_remote_cache import server as server

ROOT = Path(__file__).resolve().parents[1]


PROCESS = """
import mmap, sys
from pathlib import Path
from lamae.remote.cache import Cache
from lamae.remote.cache_folder import Content

url, folder, *files = sys.argv[1:]
cache, maps = Cache(url, Path(folder)), []
print("begins", flush=True)
for text in files:
    name, size, sha256 = text.split(",")
    with cache.open(Content(name, int(size), sha256)) as file:
        maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
print("done", flush=True)
sys.stdin.read()
"""


def start(server: Server, folder: Path, files: list[Content]) -> "subprocess.Popen[str]":
    """Start a process that maps files through a cache, and keeps them until its input ends."""
    names = [",".join(map(str, file)) for file in files]
    command = [sys.executable, "-c", PROCESS, server.url, str(folder), *names]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes)
    assert started.stdout and started.stdout.readline() == "begins\n"
    return started


def test_a_file_is_fetched_once_for_all_processes_of_a_machine(
    server: Server, files: list[Content], tmp_path: Path
) -> None:
    server.allowed.clear()
    processes = [start(server, tmp_path / "cache", files) for _ in range(2)]
    until(lambda: server.asked)
    server.allowed.set()
    assert [process.communicate()[0] for process in processes] == ["done\n"] * 2
    assert server.asked == {file.name: 1 for file in files}


def test_processes_that_are_killed_while_they_fetch_leave_a_cache_that_works(
    server: Server, files: list[Content], tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    server.bytes_per_s = 500_000
    for number in range(6):
        process = start(server, folder, files)
        until(lambda: list(folder.glob("*.partial")))
        time.sleep(0.03 * number)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        for name, size in kept(folder).items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == name and size
        if len(kept(folder)) == len(files):
            break
    server.bytes_per_s = None
    made = Cache(server.url, folder)
    for file in files:
        with made.open(file) as opened:
            assert hashlib.sha256(opened.read()).hexdigest() == file.sha256
    assert not list(folder.glob("*.partial"))


def test_what_a_killed_process_left_unfinished_is_swept_when_room_is_needed(
    server: Server, files: list[Content], tmp_path: Path
) -> None:
    left = tmp_path / "cache" / f"{'a' * 64}.1000000.partial"
    left.parent.mkdir()
    left.write_bytes(b"part")
    own = tmp_path / "cache" / "notes.txt"
    own.write_text("of the user")
    Cache(server.url, tmp_path / "cache", max_gb=1e-4).open(files[0]).close()
    assert not left.exists() and own.exists()


def test_the_least_recently_used_leave_and_the_limit_is_kept(
    server: Server, files: list[Content], tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    made = Cache(server.url, folder, max_gb=200_000 / 1e9)  # four files
    for file in [*files[:4], files[0], *files[4:6]]:
        made.open(file).close()
        assert sum(kept(folder).values()) <= 200_000
        time.sleep(0.02)  # so that times of use differ
    assert set(kept(folder)) == {files[number].sha256 for number in (3, 0, 4, 5)}
    made.open(files[0]).close()
    assert server.asked["0.tar"] == 1


def test_what_is_mapped_stays_and_too_small_a_limit_is_named_once(
    server: Server, files: list[Content], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    made = Cache(server.url, folder, max_gb=150_000 / 1e9)  # three files
    maps = []
    for file in files[:2]:
        with made.open(file) as opened:
            maps.append(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    for file in files[2:]:
        made.open(file).close()
        assert sum(kept(folder).values()) <= 150_000
    assert {file.sha256 for file in files[:2]} < set(kept(folder)) and not caplog.text
    for file in files[2:5]:
        with made.open(file) as opened:
            maps.append(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    assert len(kept(folder)) == 5 and caplog.text.count("more than cache_gb") == 1
    maps.clear()
    made.open(files[7]).close()
    assert sum(kept(folder).values()) <= 150_000
    assert set(server.asked.values()) <= {1, 2} and server.asked["0.tar"] == 1


def test_what_another_process_has_mapped_stays(
    server: Server, files: list[Content], tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    process = start(server, folder, files[:1])
    assert process.stdout and process.stdout.readline() == "done\n"
    made = Cache(server.url, folder, max_gb=100_000 / 1e9)
    for file in files[1:]:
        made.open(file).close()
    assert files[0].sha256 in kept(folder) and len(kept(folder)) == 2
    process.communicate()
    made.open(files[1]).close()
    assert files[0].sha256 not in kept(folder)


def test_a_full_disk_first_makes_room_and_then_says_so(
    server: Server, files: list[Content], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, copy = tmp_path / "cache", store.Store.copy

    def on_a_disk_of_two_files(self: store.Store, path: str, to: Path, *, size: int) -> bool:
        def write() -> bool:
            if len(kept(folder)) >= room:
                raise OSError(28, "No space left on device")
            return copy(self, path, to, size=size)

        return self._attempts.call(path, write)

    monkeypatch.setattr(store.Store, "copy", on_a_disk_of_two_files)
    made, room = Cache(server.url, folder), 2
    for file in files[:4]:
        made.open(file).close()
        time.sleep(0.02)
    assert set(kept(folder)) == {files[2].sha256, files[3].sha256}
    room = 0
    with pytest.raises(PlaceError, match=r"cache .*No space left.*cache_gb="):
        made.open(files[4])


def test_a_disk_that_fails_is_no_damage_of_a_file(
    server: Server, files: list[Content], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    made = Cache(server.url, tmp_path / "cache")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(PlaceError, match=r"Input/output error; .* on a disk that works"):
        made.open(files[0])
    monkeypatch.undo()
    made.open(files[0]).close()
    assert list(kept(tmp_path / "cache")) == [files[0].sha256]


def test_a_file_that_was_cut_in_the_cache_is_fetched_again(
    server: Server, files: list[Content], tmp_path: Path
) -> None:
    made = Cache(server.url, tmp_path / "cache")
    made.open(files[0]).close()
    (tmp_path / "cache" / files[0].sha256).write_bytes(b"cut")
    with made.open(files[0]) as opened:
        assert len(opened.read()) == files[0].bytes


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cache .*Name another in cache="):
        Cache("memory://bucket", tmp_path / "file" / "cache")


def test_a_file_system_without_locks_is_named(
    server: Server, files: list[Content], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(PlaceError, match=r"flock.*disk of this machine"):
        Cache(server.url, tmp_path / "cache").open(files[0])
